// Models that say what a script says.
#ifndef JUNTO_TESTS_SUPPORT_SCRIPT_H_
#define JUNTO_TESTS_SUPPORT_SCRIPT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/tiny_model.h"

namespace junto {
namespace test {

// A model that says, greedily and after the first piece, the others. Each is a token, a control
// token where the vocabulary has it as such; none may occur twice.
struct Script {
  Script(const std::string& chat_template, const std::vector<std::string>& pieces) {
    TextVocabulary text;
    std::map<int32_t, int32_t> next;
    int32_t spare = 500;  // tokens that merging makes, which here mean something else
    for (const std::string& piece : pieces) {
      int32_t id = text.Id(piece);
      const bool control = id >= 0 && text.types[static_cast<size_t>(id)] == 3;
      if (!control && (id < 0 || piece.size() != 1)) {
        id = spare++;
        text.tokens[static_cast<size_t>(id)] = piece;
        text.types[static_cast<size_t>(id)] = 4;
      }
      if (!tokens.empty()) next[tokens.back()] = id;
      tokens.push_back(id);
    }
    TinyModel model = TinyModel::Scripted(next);
    model.Set("tokenizer.ggml.tokens", text.tokens).Set("tokenizer.ggml.token_type", text.types);
    model.Set("tokenizer.ggml.merges", std::vector<std::string>{text.merges[0]});
    model.Set("tokenizer.chat_template", chat_template);
    model.Set("llama.context_length", uint32_t{2048});  // texts are nearly as many tokens as bytes
    bytes = model.Bytes();
  }
  std::vector<int32_t> tokens;
  std::vector<uint8_t> bytes;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_SCRIPT_H_
