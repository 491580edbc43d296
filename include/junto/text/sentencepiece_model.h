// SentencePieceModel: the vocabulary of a file tokenizer.model, as SentencePiece writes it.
#ifndef JUNTO_TEXT_SENTENCEPIECE_MODEL_H_
#define JUNTO_TEXT_SENTENCEPIECE_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "junto/base/memory.h"
#include "junto/base/status.h"
#include "junto/text/tokenizer_source.h"

namespace junto {

// A message of protocol buffers: fields one after the other, each with a number and a type.
class ProtoReader {
 public:
  struct Field {
    uint32_t number = 0;
    uint64_t value = 0;      // of integers, and the bits of floats
    std::string_view bytes;  // of strings and messages
  };

  // Calls field(const Field&), which returns a Status, for each field of a message.
  template <class F>
  static Status ForEach(std::string_view message, F&& field) {
    ProtoReader reader(message);
    while (!reader.empty()) {
      Field read;
      JUNTO_TRY(reader.Next(&read));
      JUNTO_TRY(field(read));
    }
    return Status();
  }

 private:
  explicit ProtoReader(std::string_view message) : message_(message) {}

  bool empty() const { return at_ == message_.size(); }

  // E_FORMAT names the byte.
  Status Next(Field* out) {
    Field field;
    uint64_t tag = 0;
    JUNTO_TRY(Varint(&tag));
    field.number = static_cast<uint32_t>(tag >> 3);
    const uint32_t type = tag & 7;
    if (type == 0) {
      JUNTO_TRY(Varint(&field.value));
    } else if (type == 1 || type == 5) {
      JUNTO_TRY(Fixed(type == 1 ? 8 : 4, &field.value));
    } else if (type == 2) {
      uint64_t size = 0;
      JUNTO_TRY(Varint(&size));
      if (size > message_.size() - at_) return Error("a field inside the message");
      field.bytes = message_.substr(at_, static_cast<size_t>(size));
      at_ += static_cast<size_t>(size);
    } else {
      return Error("a type that is known");
    }
    *out = field;
    return Status();
  }

  Status Varint(uint64_t* out) {
    *out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (empty()) return Error("a byte");
      const auto byte = static_cast<uint8_t>(message_[at_++]);
      *out |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return Status();
    }
    return Error("the end of a number");
  }
  Status Fixed(size_t bytes, uint64_t* out) {
    if (bytes > message_.size() - at_) return Error("a number");
    *out = 0;
    for (size_t i = bytes; i > 0; --i) {
      *out = *out << 8 | static_cast<uint8_t>(message_[at_ + i - 1]);
    }
    at_ += bytes;
    return Status();
  }
  Status Error(const char* expected) const {
    return Status::Make(Code::kFormat, "tokenizer.model: byte %zu of %zu of a message: %s expected",
                        at_, message_.size(), expected);
  }

  std::string_view message_;
  size_t at_ = 0;
};

// Models of byte pair encoding and unigram models. What is read points into the file's bytes and
// into this object.
class SentencePieceModel {
 public:
  explicit SentencePieceModel(Memory* memory)
      : tokens_({memory, Tag::kLoadTemp}),
        types_({memory, Tag::kLoadTemp}),
        scores_({memory, Tag::kLoadTemp}) {}

  // E_FORMAT, or E_UNSUPPORTED with what the model would need. Throws OutOfMemory.
  Status Read(std::string_view file, TokenizerSource* out) {
    TokenizerSource source;
    source.adds_space = 1;
    source.rules.squeezes = true;
    source.unknown = 0;  // what the format takes for granted
    source.bos = 1;
    source.eos = 2;
    bool found[4] = {};
    JUNTO_TRY(ProtoReader::ForEach(file, [&](const ProtoReader::Field& field) {
      if (field.number < 4) found[field.number] = true;
      if (field.number == 1) return ReadPiece(field.bytes);
      if (field.number == 2) return ReadTrainer(field.bytes, &source);
      if (field.number == 3) return ReadNormaliser(field.bytes, &source);
      return Status();
    }));
    for (const int part : {2, 3}) {
      if (found[part]) continue;
      return Status::Make(Code::kUnsupported,
                          "tokenizer.model: field %d is missing among %zu bytes", part,
                          file.size());
    }
    RewriteRules* rules = &source.rules;
    rules->strips_front = rules->strips_back = rules->squeezes;
    source.rewrites = source.model == "t5" || rules->squeezes || !rules->charsmap.empty() ||
                      rules->place == SpacePlace::kBehind;
    source.user_defined_last = source.rewrites;
    source.tokens = tokens_;
    source.types = types_;
    source.scores = scores_;
    *out = source;
    return Status();
  }

 private:
  Status ReadPiece(std::string_view message) {
    std::string_view text;
    int32_t type = 1;
    float score = 0;
    JUNTO_TRY(ProtoReader::ForEach(message, [&](const ProtoReader::Field& field) {
      if (field.number == 1) text = field.bytes;
      if (field.number == 2) {
        const auto bits = static_cast<uint32_t>(field.value);
        std::memcpy(&score, &bits, sizeof(score));
      }
      if (field.number == 3) type = field.value < 100 ? static_cast<int32_t>(field.value) : 100;
      return Status();
    }));
    tokens_.push_back(text);
    types_.push_back(type);
    scores_.push_back(score);
    return Status();
  }

  static Status ReadTrainer(std::string_view message, TokenizerSource* source) {
    uint64_t kind = 1;  // if it does not say
    JUNTO_TRY(ProtoReader::ForEach(message, [&](const ProtoReader::Field& field) {
      const auto id = static_cast<int32_t>(static_cast<uint32_t>(field.value));
      if (field.number == 3) kind = field.value;
      if (field.number == 24 && field.value != 0) source->rules.place = SpacePlace::kBehind;
      if (field.number == 40) source->unknown = id;
      if (field.number == 41) source->bos = id;
      if (field.number == 42) source->eos = id;
      return Status();
    }));
    source->model = kind == 1 ? "t5" : "llama";
    if (kind == 1 || kind == 2) return Status();
    return Status::Make(Code::kUnsupported,
                        "tokenizer.model: kind %llu of model, a unigram (1) or byte pair (2) "
                        "expected",
                        static_cast<unsigned long long>(kind));
  }

  static Status ReadNormaliser(std::string_view message, TokenizerSource* source) {
    return ProtoReader::ForEach(message, [&](const ProtoReader::Field& field) {
      if (field.number == 2) source->rules.charsmap = field.bytes;
      if (field.number == 3) source->adds_space = field.value != 0 ? 1 : 0;
      if (field.number == 4) source->rules.squeezes = field.value != 0;
      return Status();
    });
  }

  Vector<std::string_view> tokens_;
  Vector<int32_t> types_;
  Vector<float> scores_;
};

}  // namespace junto

#endif  // JUNTO_TEXT_SENTENCEPIECE_MODEL_H_
