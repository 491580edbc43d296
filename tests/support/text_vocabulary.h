// The vocabularies and the vectors that tests/oracle/make_*_vectors.py made.
#ifndef JUNTO_TESTS_SUPPORT_TEXT_VOCABULARY_H_
#define JUNTO_TESTS_SUPPORT_TEXT_VOCABULARY_H_

#include <cstdint>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "junto/text/tokenizer.h"

namespace junto {
namespace test {

inline const nlohmann::json& TextData(const std::string& name) {
  static std::map<std::string, nlohmann::json> files;
  nlohmann::json& file = files[name];
  if (file.is_null()) std::ifstream(std::string(JUNTO_TEST_DATA) + "/text/" + name) >> file;
  return file;
}

inline std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// A tokenizer's source that tests may change before they create it.
struct TextVocabulary {
  explicit TextVocabulary(const std::string& file = "tokenizer.json") {
    const nlohmann::json& data = TextData(file);
    if (data.contains("scores")) scores = data["scores"].get<std::vector<float>>();
    tokens = data["tokens"].get<std::vector<std::string>>();
    types = data["types"].get<std::vector<int32_t>>();
    merges = data["merges"].get<std::vector<std::string>>();
  }

  int32_t Id(std::string_view token) const {
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] == token) return static_cast<int32_t>(i);
    }
    return -1;
  }

  // Views into this object.
  TokenizerSource Source(std::string_view pre) {
    token_views.assign(tokens.begin(), tokens.end());
    merge_views.assign(merges.begin(), merges.end());
    TokenizerSource source;
    source.model = "gpt2";
    source.pre = pre;
    source.tokens = token_views;
    source.types = types;
    source.merges = merge_views;
    source.scores = scores;
    return source;
  }

  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<std::string> merges;
  std::vector<float> scores;
  std::vector<std::string_view> token_views;
  std::vector<std::string_view> merge_views;
};

}  // namespace test
}  // namespace junto

#endif  // JUNTO_TESTS_SUPPORT_TEXT_VOCABULARY_H_
