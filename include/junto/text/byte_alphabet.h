// Byte alphabet: vocabularies of the GPT-2 family spell every byte as one printable character.
#ifndef JUNTO_TEXT_BYTE_ALPHABET_H_
#define JUNTO_TEXT_BYTE_ALPHABET_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/utf8.h"

namespace junto {

// Printable Latin-1 bytes stand for themselves; the others take U+0100, U+0101, … in byte order.
class ByteAlphabet {
 public:
  constexpr ByteAlphabet() {
    for (uint32_t i = 0; i < kCharacters; ++i) byte_[i] = kNone;
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      character_[byte] = static_cast<uint16_t>(IsPrintable(byte) ? byte : next++);
      byte_[character_[byte]] = static_cast<int16_t>(byte);
    }
  }

  constexpr uint32_t Character(uint8_t byte) const { return character_[byte]; }

  // The byte that a character spells, or -1.
  constexpr int Byte(uint32_t character) const {
    return character < kCharacters ? byte_[character] : kNone;
  }

  // Appends the bytes that `spelled` means and returns true, or returns false and changes nothing
  // when a character is not of the alphabet.
  template <class Bytes>
  bool Decode(std::string_view spelled, Bytes* bytes) const {
    const size_t before = bytes->size();
    while (!spelled.empty()) {
      const size_t length = CodePointLength(spelled);
      const int byte = length == 0 ? kNone : Byte(DecodeUtf8(spelled.data(), length));
      if (byte == kNone) {
        bytes->resize(before);
        return false;
      }
      bytes->push_back(static_cast<char>(byte));
      spelled.remove_prefix(length);
    }
    return true;
  }

 private:
  static constexpr int kNone = -1;
  static constexpr uint32_t kCharacters = 0x100 + 68;  // 68 bytes are not printable

  static constexpr bool IsPrintable(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
  }

  uint16_t character_[256] = {};
  int16_t byte_[kCharacters] = {};
};

constexpr ByteAlphabet kByteAlphabet;

}  // namespace junto

#endif  // JUNTO_TEXT_BYTE_ALPHABET_H_
