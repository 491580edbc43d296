// OutputParser: tells the parts of a model's output apart while it comes.
#ifndef JUNTO_TEXT_OUTPUT_PARSER_H_
#define JUNTO_TEXT_OUTPUT_PARSER_H_

#include <cstdint>
#include <string_view>

#include "junto/text/output/writer.h"

namespace junto {

// Takes the marks of its markup, each by its place in the parser's kMarks, and the text between
// them. What comes out depends on their order alone, never on when they come. Text that does not
// follow the markup comes out as content, as it is. Never allocates; one thread at a time.
class OutputParser {
 public:
  explicit OutputParser(OutputSink* sink) : writer_(sink) {}
  virtual ~OutputParser() = default;
  OutputParser(const OutputParser&) = delete;
  OutputParser& operator=(const OutputParser&) = delete;

  virtual void Reset() = 0;           // to the state where nothing was said
  virtual void Mark(int mark) = 0;    // a markup token
  virtual void Take(char c) = 0;      // a byte of text that is whole code points
  virtual void BeginAnswer() = 0;     // what was taken up to here is the prompt's
  virtual void End(bool closed) = 0;  // nothing follows; closed: as the model itself said

  uint32_t calls() const { return writer_.completed(); }  // that are complete

 protected:
  OutputWriter writer_;
};

// No markup: all is content.
class PlainParser final : public OutputParser {
 public:
  using OutputParser::OutputParser;
  void Reset() override { writer_.Reset(); }
  void Mark(int) override {}
  void Take(char c) override { writer_.Write(Channel::kContent, {&c, 1}); }
  void BeginAnswer() override { writer_.Reset(); }
  void End(bool) override {}
};

}  // namespace junto

#endif  // JUNTO_TEXT_OUTPUT_PARSER_H_
