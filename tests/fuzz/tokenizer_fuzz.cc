// Any bytes as a tokenizer.json, if they begin with a brace, else as a tokenizer.model: read, and
// made to encode texts.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "../support/faults.h"
#include "junto/text/tokenizer.h"
#include "seeds.h"

namespace junto {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

// Words, spaces of all sorts, what charsmaps rewrite, tokens of the seeds, and broken UTF-8.
constexpr std::string_view kTexts[] = {
    "The small boat isn't ready yet; 1234567 seconds",
    "  \n\n \t\xE3\x80\x80x\xE2\x96\x81\xE2\x96\x81y   ",
    "e\xCC\x81\xEF\xAC\x83\xEF\xBC\x9Cs\xEF\xBC\x9E\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8\xE2\x80"
    "\xA6",
    "<s>a</s><b>bold</b><|im_end|><tool_call>abcd<unk>ab",
    "\xFF\x80\xE2\x96 \xF0\x9F\x91 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

void Encode(const Tokenizer& tokenizer, Memory* memory) {
  EncodeScratch scratch(memory);
  Vector<int32_t> ids({memory, Tag::kScratch});
  for (const std::string_view text : kTexts) {
    for (const size_t trusted : {size_t{0}, text.size() / 2, text.size()}) {
      const Segment segments[] = {{trusted, true}, {text.size(), false}};
      ids.clear();
      const Status status = tokenizer.Encode(text, {segments, 2}, true, &scratch, &ids);
      Require(status.ok() || (status.message()[0] != '\0' && ids.empty()));
      int32_t unknown = -1;  // files choose it, and may choose a control token
      for (size_t i = 0; i < ids.size(); ++i) {
        Require(static_cast<size_t>(ids[i]) < tokenizer.vocabulary_size());
        if (trusted != 0 || !tokenizer.IsMarkup(ids[i])) continue;
        if (i == 0 && tokenizer.adds_bos() && ids[i] == tokenizer.bos()) continue;
        Require(unknown < 0 || ids[i] == unknown);
        unknown = ids[i];
      }
    }
  }
}

void ReadAndEncode(std::string_view file) {
  test::CountingAllocator allocator;
  {
    Memory memory(&allocator, 64 << 20);
    try {
      Owned<Tokenizer> tokenizer;
      const bool json = file.substr(0, 1) == "{";
      const Status status = json ? Tokenizer::FromJson(file, &memory, &tokenizer)
                                 : Tokenizer::FromSentencePiece(file, &memory, &tokenizer);
      Require(status.ok() == (tokenizer != nullptr));
      Require(status.ok() || status.message()[0] != '\0');
      if (status.ok()) Encode(*tokenizer, &memory);
    } catch (const OutOfMemory&) {
    }
  }
  Require(allocator.clean());
}

std::vector<uint8_t> Load(const char* name) {
  std::ifstream in(std::string(JUNTO_TEST_DATA) + "/text/" + name, std::ios::binary);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(in), {});
}

}  // namespace

namespace test {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  const std::string sources[] = {
      R"({"added_tokens":[{"id":9,"content":"<|im_end|>","special":true},{"id":10,"content":"<b>",
"special":false}],"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[
{"type":"Split","pattern":{"Regex":"\\p{L}+(?!\\S)| ?[^\\s\\p{L}]+|\\s+"},"behavior":"Isolated",
"invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},"model":{"type":
"BPE","ignore_merges":true,"vocab":{"a":0,"b":1,"e":2,"Ġ":3,"aa":4,"aaaa":5,"Ġb":6,"o":7,"t":8},
"merges":["a a",["aa","aa"],"Ġ b"]}})",
      R"({"added_tokens":[{"id":1,"content":"<s>","special":true}],"normalizer":{"type":"Sequence",
"normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},
"content":"▁"}]},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":
"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]},"model":{"type":"BPE","unk_token":"<unk>",
"byte_fallback":true,"vocab":{"<unk>":0,"<0x41>":2,"<0xE2>":3,"▁":4,"a":5,"b":6,"▁a":7,"aa":8},
"merges":[["▁","a"],["a","a"]]}})",
      R"({"added_tokens":[{"id":1,"content":"</s>","special":true},{"id":6,"content":"ab","special":
false}],"normalizer":{"type":"Sequence","normalizers":[{"type":"Precompiled","precompiled_charsmap":
"EAAAAAAAAAAEAAAAYQEAAAEAAIB4AHkA"},{"type":"Strip","strip_left":false,"strip_right":true},{"type":
"Replace","pattern":{"Regex":" {2,}"},"content":"▁"}]},"pre_tokenizer":{"type":"Metaspace",
"replacement":"▁","prepend_scheme":"first","split":true},"model":{"type":"Unigram","unk_id":0,
"byte_fallback":false,"vocab":[["<unk>",0.0],["</s>",0],["▁",-2.5],["a",-3e0],["▁The",-4.25],["aaa",
-5],["ab",0.0]]}})"};
  std::vector<std::vector<uint8_t>> seeds = {Load("unigram.model"), Load("sentencepiece.model")};
  for (const std::string& source : sources) seeds.emplace_back(source.begin(), source.end());
  return seeds;
}

}  // namespace test
}  // namespace junto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  junto::ReadAndEncode({reinterpret_cast<const char*>(data), size});
  return 0;
}
