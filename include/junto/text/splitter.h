// Splitter: cuts text into the pieces that merging never crosses.
#ifndef JUNTO_TEXT_SPLITTER_H_
#define JUNTO_TEXT_SPLITTER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/text/pcre2.h"
#include "junto/text/split_rule.h"
#include "junto/text/split_scanner.h"

namespace junto {

// What matching works in: one thread at a time. Made once and used for many texts.
class SplitScratch {
 public:
  explicit SplitScratch(Memory* memory) : memory_(memory) {}

 private:
  friend class Splitter;
  Status Prepare(uint64_t budget);
  bool Spend(uint64_t work) {
    budget_ -= std::min(budget_, work);
    return budget_ != 0;
  }

  Memory* memory_;
  uint64_t budget_ = 0;  // of a text, for what pieces need beyond what each may have
  PcreGeneral general_;
  PcreMatch context_;
  PcreMatchData data_;
};

// Immutable once made, so any number of threads may use it.
class Splitter {
 public:
  // By a known shape, which outlives the splitter.
  static Splitter Of(const SplitShape& shape) {
    Splitter splitter;
    splitter.shape_ = &shape;
    return splitter;
  }
  // By a PCRE2 pattern; its \s and \S mean Unicode White_Space, whatever the version of the
  // library. E_UNSUPPORTED when the pattern cannot be compiled.
  static Status Create(std::string_view pattern, Memory* memory, Splitter* out);

  // Calls piece(std::string_view), which returns a Status, for consecutive pieces that make up
  // `text`, which is UTF-8. What no alternative matches is a piece, too. E_UNSUPPORTED where a
  // pattern takes more work than a fixed amount for each byte, or matches what is not ahead.
  template <class F>
  Status Split(std::string_view text, SplitScratch* scratch, F&& piece) const {
    if (shape_ != nullptr) {
      const SplitScanner scanner(*shape_, text);
      for (size_t at = 0; at < text.size();) {
        const size_t end = scanner.Piece(at);
        JUNTO_TRY(piece(text.substr(at, end - at)));
        at = end;
      }
      return Status();
    }
    JUNTO_TRY(scratch->Prepare(kWork * (kWindow + uint64_t{text.size()})));
    for (size_t at = 0; at < text.size();) {
      size_t begin = 0;
      size_t end = 0;
      JUNTO_TRY(Next(text, at, scratch, &begin, &end));
      if (begin > at) JUNTO_TRY(piece(text.substr(at, begin - at)));
      if (end > begin) JUNTO_TRY(piece(text.substr(begin, end - begin)));
      at = end;
    }
    return Status();
  }

 private:
  static constexpr size_t kWindow = 256;   // bytes that a match sees at first,
  static constexpr uint32_t kSteps = 256;  // and its steps, each of which may look at all of it
  static constexpr uint64_t kWork = 128;   // kSteps looks at a byte, for each byte of a text

  static bool SpellOutWhiteSpace(std::string_view pattern, String* spelled);
  int Match(std::string_view text, size_t at, SplitScratch* scratch) const;
  Status Next(std::string_view text, size_t at, SplitScratch* scratch, size_t* begin,
              size_t* end) const;

  const SplitShape* shape_ = nullptr;
  PcreGeneral general_;
  PcreCode code_;
};

// Replaces \s and \S, which PCRE2 10.42 also matches to U+180E. False for \S inside a class.
inline bool Splitter::SpellOutWhiteSpace(std::string_view pattern, String* spelled) {
  static constexpr std::string_view kWhiteSpace =
      R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const bool escape = pattern[i] == '\\' && i + 1 < pattern.size();
    if (!escape) {
      if (pattern[i] == '[') in_class = true;
      if (pattern[i] == ']') in_class = false;
      spelled->push_back(pattern[i]);
      continue;
    }
    const char kind = pattern[++i];
    if (kind == 'S' && in_class) return false;
    if (kind == 's' || kind == 'S') {
      if (!in_class) spelled->append(kind == 's' ? "[" : "[^");
      spelled->append(kWhiteSpace);
      if (!in_class) spelled->push_back(']');
    } else {
      spelled->push_back('\\');
      spelled->push_back(kind);
    }
  }
  return true;
}

inline Status Splitter::Create(std::string_view pattern, Memory* memory, Splitter* out) {
  String spelled({memory, Tag::kTokenizer});
  if (!SpellOutWhiteSpace(pattern, &spelled)) {
    return Status::Make(Code::kUnsupported, "split pattern: \\S inside a character class");
  }
  Splitter fresh;
  fresh.general_ = MakePcreGeneral(memory);
  if (fresh.general_ == nullptr) return memory->Refusal(spelled.size(), Tag::kTokenizer);
  PcreCompile context(pcre2_compile_context_create_8(fresh.general_.get()));
  if (context == nullptr) return memory->Refusal(spelled.size(), Tag::kTokenizer);
  int error = 0;
  size_t position = 0;
  fresh.code_.reset(pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(spelled.data()), spelled.size(),
                                    PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &position,
                                    context.get()));
  if (fresh.code_ == nullptr) {
    if (error == PCRE2_ERROR_HEAP_FAILED) return memory->Refusal(spelled.size(), Tag::kTokenizer);
    return Status::Make(Code::kUnsupported, "split pattern: PCRE2 error %d at byte %zu of %zu",
                        error, position, spelled.size());
  }
  *out = std::move(fresh);
  return Status();
}

inline Status SplitScratch::Prepare(uint64_t budget) {
  const uint64_t bytes = sizeof(PcreMatchData);  // at least, when memory is short
  if (data_ == nullptr) {
    if (general_ == nullptr) general_ = MakePcreGeneral(memory_);
    if (general_ == nullptr) return memory_->Refusal(bytes, Tag::kTokenizer);
    if (context_ == nullptr) context_.reset(pcre2_match_context_create_8(general_.get()));
    if (context_ == nullptr) return memory_->Refusal(bytes, Tag::kTokenizer);
    data_.reset(pcre2_match_data_create_8(1, general_.get()));
    if (data_ == nullptr) return memory_->Refusal(bytes, Tag::kTokenizer);
    pcre2_set_heap_limit_8(context_.get(), 4096);  // KiB
  }
  budget_ = budget;
  return Status();
}

// PCRE2 neither tells how much work a match was nor bounds it by what counts: one step may look at
// all of a text. So it sees a window, which grows as long as matching runs into its end, and takes
// a number of steps, which grows while it is too small. What it finds is what it would find in the
// whole text; a result of PCRE2.
inline int Splitter::Match(std::string_view text, size_t at, SplitScratch* scratch) const {
  uint64_t window = kWindow;
  uint32_t steps = kSteps;
  for (;;) {
    size_t stop = at + static_cast<size_t>(std::min<uint64_t>(window, text.size() - at));
    while (stop < text.size() && (static_cast<uint8_t>(text[stop]) & 0xC0) == 0x80) ++stop;
    const bool whole = stop == text.size();
    pcre2_set_match_limit_8(scratch->context_.get(), steps);
    const uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | (whole ? 0 : PCRE2_PARTIAL_HARD);
    const int result = pcre2_match_8(code_.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()), stop,
                                     at, options, scratch->data_.get(), scratch->context_.get());
    if (result == PCRE2_ERROR_PARTIAL || (result == PCRE2_ERROR_NOMATCH && !whole)) {
      window *= 4;
    } else if (result == PCRE2_ERROR_MATCHLIMIT && steps < UINT32_MAX / 4) {
      steps *= 4;
    } else {
      return result;
    }
    if (!scratch->Spend(steps / kSteps * window)) return PCRE2_ERROR_MATCHLIMIT;
  }
}

// The next match at or after `at`; both ends at the end of the text when there is none.
inline Status Splitter::Next(std::string_view text, size_t at, SplitScratch* scratch, size_t* begin,
                             size_t* end) const {
  const int result = Match(text, at, scratch);
  if (result == PCRE2_ERROR_NOMATCH) {
    *begin = *end = text.size();
    return Status();
  }
  if (result == PCRE2_ERROR_NOMEMORY)
    return scratch->memory_->Refusal(text.size(), Tag::kTokenizer);
  if (result < 0) {
    return Status::Make(Code::kUnsupported,
                        "split pattern: PCRE2 error %d at byte %zu of %zu of text", result, at,
                        text.size());
  }
  const size_t* ends = pcre2_get_ovector_pointer_8(scratch->data_.get());
  // \K in a lookaround can set the beginning of a match behind its end, or before the search.
  if (ends[0] < at || ends[1] <= ends[0] || ends[1] > text.size()) {
    return Status::Make(Code::kUnsupported,
                        "split pattern: a match from byte %zu to %zu, searched from %zu", ends[0],
                        ends[1], at);
  }
  *begin = ends[0];
  *end = ends[1];
  return Status();
}

}  // namespace junto

#endif  // JUNTO_TEXT_SPLITTER_H_
