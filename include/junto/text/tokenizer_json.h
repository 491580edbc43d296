// TokenizerJson: the vocabulary and the steps of a file tokenizer.json.
#ifndef JUNTO_TEXT_TOKENIZER_JSON_H_
#define JUNTO_TEXT_TOKENIZER_JSON_H_

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/base/utf8.h"
#include "junto/text/base64.h"
#include "junto/text/json_reader.h"
#include "junto/text/sentencepiece.h"
#include "junto/text/tokenizer_source.h"

namespace junto {

// Byte pair encoding, over bytes or over characters with bytes to fall back on, and unigram models.
// What is read points into this object.
class TokenizerJson {
 public:
  explicit TokenizerJson(Memory* memory)
      : memory_(memory),
        text_({memory, Tag::kLoadTemp}),
        tokens_({memory, Tag::kLoadTemp}),
        types_({memory, Tag::kLoadTemp}),
        scores_({memory, Tag::kLoadTemp}),
        merges_({memory, Tag::kLoadTemp}) {}

  // E_FORMAT, or E_UNSUPPORTED with what the file asks for. Throws OutOfMemory.
  Status Read(std::string_view json, TokenizerSource* out) {
    text_.clear();
    text_.reserve(json.size());  // nothing is longer than it was written, so views stay
    source_ = TokenizerSource();
    source_.nfc = source_.whole_pieces = source_.adds_space = source_.adds_bos = 0;
    JsonReader reader(json, memory_);
    JUNTO_TRY(reader.Object([&](std::string_view key) -> Status {
      if (key == "model") return ReadModel(&reader);
      if (key == "added_tokens") return ReadAdded(&reader);
      if (key == "normalizer") return ReadStep(&reader, &TokenizerJson::Normalise);
      if (key == "pre_tokenizer") return ReadStep(&reader, &TokenizerJson::Split);
      if (key == "post_processor") return ReadStep(&reader, &TokenizerJson::Finish);
      return reader.Skip();
    }));
    JUNTO_TRY(reader.End());
    JUNTO_TRY(ChooseModel());
    JUNTO_TRY(MarkBytes());
    source_.bos = bos_.empty() ? -1 : Find(bos_);
    source_.adds_bos = source_.bos >= 0 ? 1 : 0;
    if (!unknown_.empty()) source_.unknown = Find(unknown_);
    source_.tokens = tokens_;
    source_.types = types_;
    source_.merges = merges_;
    if (scores_.size() < tokens_.size()) scores_.resize(tokens_.size());  // tokens that were added
    source_.scores = scores_;
    *out = source_;
    return Status();
  }

 private:
  static constexpr int64_t kMaxId = (1 << 21) - 1;

  // A step of a pipeline: its type and what the types that are known have.
  struct Step {
    std::string_view type;
    std::string_view pattern;  // a string or, if `regex`, a regular expression
    std::string_view content;  // to replace it, to prepend, or what spaces become
    std::string_view scheme;   // of what is prepended
    std::string_view charsmap;
    std::string_view behaviour;  // of a split
    std::string_view first;      // special token of a template
    bool regex = false;
    bool use_regex = true;
    bool add_prefix_space = true;
    bool individual_digits = false;
    bool invert = false;
    bool split = true;
    bool strip_left = false;
    bool strip_right = false;
  };
  using Apply = Status (TokenizerJson::*)(const Step&);

  static Status Unsupported(const char* what, std::string_view name) {
    return Status::Make(Code::kUnsupported, "tokenizer.json: %s '%.*s' is not supported", what,
                        static_cast<int>(Utf8Prefix(name, 96).size()), name.data());
  }

  // A string, kept in text_.
  Status ReadText(JsonReader* reader, std::string_view* out) {
    const size_t begin = text_.size();
    JUNTO_TRY(reader->ReadString(&text_));
    *out = std::string_view(text_).substr(begin);
    return Status();
  }
  // The bytes that a string spells in base 64, in its place.
  Status ReadBytes(JsonReader* reader, std::string_view* out) {
    bool null = false;
    JUNTO_TRY(IsNull(reader, &null));
    if (null) return Status();
    const size_t begin = text_.size();
    JUNTO_TRY(reader->ReadString(&text_));
    size_t bytes = 0;
    if (!DecodeBase64(text_.data() + begin, text_.size() - begin, &bytes)) {
      return reader->Error("base 64 before this");
    }
    text_.resize(begin + bytes);
    *out = std::string_view(text_).substr(begin);
    return Status();
  }
  static Status ReadId(JsonReader* reader, size_t* id) {
    int64_t value = 0;
    JUNTO_TRY(reader->ReadInteger(0, kMaxId, &value));
    *id = static_cast<size_t>(value);
    return Status();
  }
  // Null is as if it were not there.
  static Status IsNull(JsonReader* reader, bool* null) {
    JsonKind kind = JsonKind::kNull;
    JUNTO_TRY(reader->Peek(&kind));
    *null = kind == JsonKind::kNull;
    return *null ? reader->Skip() : Status();
  }

  // Ids that nothing names are not used.
  void SetToken(size_t id, std::string_view text, int32_t type) {
    if (id >= tokens_.size()) {
      tokens_.resize(id + 1);
      types_.resize(id + 1, 5);
    }
    tokens_[id] = text;
    types_[id] = type;
  }
  int32_t Find(std::string_view text) const {
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (types_[id] != 5 && tokens_[id] == text) return static_cast<int32_t>(id);
    }
    return -1;
  }

  Status ReadModel(JsonReader* reader) {
    return reader->Object([&](std::string_view key) -> Status {
      if (key == "vocab") {
        JsonKind kind = JsonKind::kNull;
        JUNTO_TRY(reader->Peek(&kind));
        if (kind == JsonKind::kArray) return ReadScored(reader);
        return reader->Object([&](std::string_view token) -> Status {
          const size_t begin = text_.size();
          text_.append(token);
          size_t id = 0;
          JUNTO_TRY(ReadId(reader, &id));
          const bool added = id < types_.size() && types_[id] != 5;
          if (!added) SetToken(id, std::string_view(text_).substr(begin), 1);
          return Status();
        });
      }
      if (key == "merges") return ReadMerges(reader);
      bool null = false;
      JUNTO_TRY(IsNull(reader, &null));
      if (null) return Status();
      if (key == "type" || key == "continuing_subword_prefix" || key == "end_of_word_suffix") {
        std::string_view text;
        const bool type = key == "type";
        JUNTO_TRY(ReadText(reader, &text));
        unigram_ = unigram_ || (type && text == "Unigram");
        if (type && unigram_) return Status();
        return text == (type ? "BPE" : "") ? Status() : Unsupported("model", text);
      }
      if (key == "unk_token") return ReadText(reader, &unknown_);
      if (key == "unk_id") {
        size_t id = 0;
        JUNTO_TRY(ReadId(reader, &id));
        source_.unknown = static_cast<int32_t>(id);
        return Status();
      }
      if (key == "byte_fallback") return reader->ReadBool(&byte_fallback_);
      if (key == "ignore_merges") {
        bool ignore = false;
        JUNTO_TRY(reader->ReadBool(&ignore));
        source_.whole_pieces = ignore ? 1 : 0;
        return Status();
      }
      return reader->Skip();
    });
  }

  // Of a unigram model: a list of ["token", score].
  Status ReadScored(JsonReader* reader) {
    return reader->Array([&]() -> Status {
      std::string_view token;
      double score = 0;
      size_t parts = 0;
      JUNTO_TRY(reader->Array([&]() -> Status {
        if (++parts == 1) return ReadText(reader, &token);
        if (parts > 2) return reader->Error("a token and its score");
        std::string_view number;
        JUNTO_TRY(reader->ReadNumber(&number));
        const auto read = std::from_chars(number.data(), number.data() + number.size(), score);
        return read.ec == std::errc() ? Status() : reader->Error("a score in range");
      }));
      const size_t id = scores_.size();
      if (parts != 2) return reader->Error("a token and its score");
      if (id > kMaxId) return reader->Error("fewer tokens");
      if (id >= types_.size() || types_[id] == 5) SetToken(id, token, 1);
      scores_.push_back(static_cast<float>(score));
      return Status();
    });
  }

  // "left right", or ["left", "right"].
  Status ReadMerges(JsonReader* reader) {
    return reader->Array([&]() -> Status {
      JsonKind kind = JsonKind::kNull;
      JUNTO_TRY(reader->Peek(&kind));
      std::string_view merge;
      if (kind == JsonKind::kString) {
        JUNTO_TRY(ReadText(reader, &merge));
      } else {
        const size_t begin = text_.size();
        size_t pieces = 0;
        JUNTO_TRY(reader->Array([&]() -> Status {
          if (pieces++ != 0) text_.push_back(' ');
          return reader->ReadString(&text_);
        }));
        merge = std::string_view(text_).substr(begin);
        const auto spaces = static_cast<size_t>(std::count(merge.begin(), merge.end(), ' '));
        if (pieces != 2 || spaces != 1) {
          return Status::Make(Code::kFormat,
                              "tokenizer.json: merge %zu has %zu pieces and %zu spaces, 2 pieces "
                              "without spaces expected",
                              merges_.size(), pieces, spaces - (pieces == 0 ? 0 : pieces - 1));
        }
      }
      merges_.push_back(merge);
      return Status();
    });
  }

  Status ReadAdded(JsonReader* reader) {
    return reader->Array([&]() -> Status {
      std::string_view content;
      size_t id = 0;
      bool special = false;
      JUNTO_TRY(reader->Object([&](std::string_view key) -> Status {
        if (key == "content") return ReadText(reader, &content);
        if (key == "id") return ReadId(reader, &id);
        if (key == "special") return reader->ReadBool(&special);
        return reader->Skip();
      }));
      SetToken(id, content, special ? 3 : 4);
      return Status();
    });
  }

  // Steps that others would leave out in silence are refused.
  Status ChooseModel() {
    source_.model = byte_level_ ? "gpt2" : unigram_ ? "unigram" : "bpe";
    if (byte_level_ && (unigram_ || source_.rewrites || source_.adds_space == 1)) {
      return Unsupported("pre_tokenizer", "ByteLevel");
    }
    if (byte_level_ || (source_.nfc == 0 && source_.pattern.empty() && source_.pre.empty())) {
      return Status();
    }
    return Unsupported("step before characters", source_.nfc != 0 ? "NFC" : "Split");
  }

  // With byte fallback, "<0x41>" is the token of a byte.
  Status MarkBytes() {
    if (!byte_fallback_) return Status();
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (types_[id] == 1 && SpelledByte(tokens_[id]) >= 0) types_[id] = 6;
    }
    return Status();
  }

  // One step, or the sequence of steps that one stands for.
  Status ReadStep(JsonReader* reader, Apply apply) {
    bool null = false;
    JUNTO_TRY(IsNull(reader, &null));
    if (null) return Status();
    Step step;
    JUNTO_TRY(reader->Object([&](std::string_view key) -> Status {
      if (key == "type") return ReadText(reader, &step.type);
      if (key == "content" || key == "prepend" || key == "replacement") {
        return ReadText(reader, &step.content);
      }
      if (key == "prepend_scheme") return ReadText(reader, &step.scheme);
      if (key == "precompiled_charsmap") return ReadBytes(reader, &step.charsmap);
      if (key == "behavior") return ReadText(reader, &step.behaviour);
      if (key == "use_regex") return reader->ReadBool(&step.use_regex);
      if (key == "add_prefix_space") return reader->ReadBool(&step.add_prefix_space);
      if (key == "individual_digits") return reader->ReadBool(&step.individual_digits);
      if (key == "invert") return reader->ReadBool(&step.invert);
      if (key == "split") return reader->ReadBool(&step.split);
      if (key == "strip_left") return reader->ReadBool(&step.strip_left);
      if (key == "strip_right") return reader->ReadBool(&step.strip_right);
      if (key == "single") return ReadTemplate(reader, &step.first);
      if (key == "pattern") {
        return reader->Object([&](std::string_view kind) -> Status {
          step.regex = kind == "Regex";
          return ReadText(reader, &step.pattern);
        });
      }
      if (key == "normalizers" || key == "pretokenizers" || key == "processors") {
        return reader->Array([&] { return ReadStep(reader, apply); });
      }
      return reader->Skip();
    }));
    return step.type == "Sequence" ? Status() : (this->*apply)(step);
  }

  // [{"SpecialToken": {"id": "<bos>"}}, {"Sequence": …}]: the token that comes first.
  Status ReadTemplate(JsonReader* reader, std::string_view* first) {
    size_t at = 0;
    return reader->Array([&]() -> Status {
      const bool is_first = at++ == 0;
      return reader->Object([&](std::string_view kind) -> Status {
        if (!is_first || kind != "SpecialToken") return reader->Skip();
        return reader->Object([&](std::string_view key) -> Status {
          return key == "id" ? ReadText(reader, first) : reader->Skip();
        });
      });
    });
  }

  Status Normalise(const Step& step) {
    if (step.type == "NFC") {
      source_.nfc = 1;
    } else if (step.type == "Prepend" && step.content == kSpaceMark) {
      source_.adds_space = 1;
    } else if (step.type == "Precompiled") {
      source_.rewrites = true;
      source_.rules.charsmap = step.charsmap;
    } else if (step.type == "Strip" && !step.strip_left) {
      source_.rewrites = true;
      source_.rules.strips_white = step.strip_right;
    } else if (step.type == "Replace" && step.regex && step.pattern == " {2,}" &&
               (step.content == kSpaceMark || step.content == " ")) {
      source_.rewrites = true;
      source_.rules.squeezes = true;
    } else if (step.type != "Replace" || step.pattern != " " || step.content != kSpaceMark) {
      return Unsupported("normalizer", step.type);
    }
    return Status();
  }

  Status Split(const Step& step) {
    if (step.type == "ByteLevel") {
      if (step.add_prefix_space) return Unsupported("pre_tokenizer", "add_prefix_space");
      byte_level_ = true;
      if (step.use_regex) source_.pre = source_.pre.empty() ? "gpt-2" : "smollm";
    } else if (step.type == "Metaspace") {
      return SpaceMarks(step);
    } else if (step.type == "Digits" && step.individual_digits) {
      source_.pre = "smollm";
    } else if (step.type == "Split" && step.regex && step.behaviour == "Isolated" && !step.invert) {
      source_.pattern = step.pattern;
    } else if (step.type != "Split" || step.regex || step.pattern != " ") {
      // Text has no spaces any more where a split at them comes after a normalizer.
      return Unsupported("pre_tokenizer", step.type);
    }
    return Status();
  }

  // Spaces become space marks, which words begin with. Older files say less.
  Status SpaceMarks(const Step& step) {
    if (step.content != kSpaceMark) return Unsupported("pre_tokenizer", step.content);
    std::string_view scheme = step.scheme;
    if (scheme.empty()) scheme = step.add_prefix_space ? "always" : "never";
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      return Unsupported("pre_tokenizer", scheme);
    }
    source_.rewrites = true;
    source_.adds_space = scheme == "never" ? 0 : 1;
    source_.rules.place = SpacePlace::kBeforeUnlessThere;
    source_.rules.only_first = scheme == "first";
    source_.cuts_words = step.split;
    return Status();
  }

  Status Finish(const Step& step) {
    if (step.type == "TemplateProcessing") bos_ = step.first;
    return Status();
  }

  Memory* memory_;
  String text_;
  Vector<std::string_view> tokens_;
  Vector<int32_t> types_;
  Vector<float> scores_;
  Vector<std::string_view> merges_;
  TokenizerSource source_;
  std::string_view bos_;
  std::string_view unknown_;
  bool byte_fallback_ = false;
  bool byte_level_ = false;
  bool unigram_ = false;
};

}  // namespace junto

#endif  // JUNTO_TEXT_TOKENIZER_JSON_H_
