// junto tokenize: text as the model reads it.
#include <cstdio>

#include "format.h"
#include "open.h"
#include "terminal.h"

namespace cli {
namespace {

std::vector<junto_token> Tokens(const junto_model* model, const std::string& text, uint32_t flags) {
  junto_error error = NewError();
  size_t count = 0;
  Check(junto_tokenize(model, text.data(), text.size(), flags, nullptr, 0, &count, &error), error);
  std::vector<junto_token> tokens(count);
  Check(
      junto_tokenize(model, text.data(), text.size(), flags, tokens.data(), count, &count, &error),
      error);
  return tokens;
}

std::string Piece(const junto_model* model, junto_token token) {
  junto_error error = NewError();
  const uint32_t flags = JUNTO_DETOKENIZE_SPECIAL;
  size_t size = 0;
  Check(junto_detokenize(model, &token, 1, flags, nullptr, 0, &size, &error), error);
  std::string piece(size, '\0');
  Check(junto_detokenize(model, &token, 1, flags, piece.data(), size, &size, &error), error);
  return piece;
}

}  // namespace

int Tokenize(const TokenizeOptions& options) {
  const OpenModel open = Open(options.model, JUNTO_MODEL_METADATA_ONLY);
  const std::string text = options.has_text ? options.text : ReadInput();
  const uint32_t flags = (options.no_bos ? 0 : JUNTO_TOKENIZE_ADD_BOS) |
                         (options.no_special ? 0 : JUNTO_TOKENIZE_PARSE_SPECIAL);
  const char* separator = "";
  for (const junto_token token : Tokens(open.model.get(), text, flags)) {
    if (options.pieces) {
      std::printf("%d\t%s\n", token, Quote(Piece(open.model.get(), token)).c_str());
    } else {
      std::printf("%s%d", separator, token);
      separator = ",";
    }
  }
  if (!options.pieces) std::printf("\n");
  return 0;
}

}  // namespace cli
