// Any bytes as the output of a model: how it is cut must change nothing, what comes out is UTF-8,
// and whoever reads slowly gets it all. The first byte chooses the markup; of the others those
// below the number of its marks are marks.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "../support/output.h"
#include "seeds.h"

namespace junto {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

std::vector<test::OutputItem> ReadItems(OutputKind kind, const uint8_t* data, size_t size) {
  const size_t marks = OutputMarkup(kind).marks().size();
  std::vector<test::OutputItem> items;
  for (size_t i = 0; i < size; ++i) {
    if (data[i] < marks) {
      items.push_back({data[i], ""});
    } else {
      if (items.empty() || items.back().mark >= 0 || items.back().text.size() == 64) {
        items.push_back({-1, ""});
      }
      items.back().text += static_cast<char>(data[i]);
    }
  }
  return items;
}

// Takes output only when nothing more fits.
std::string RunFull(OutputKind kind, const std::vector<test::OutputItem>& items, bool closed) {
  test::OutputFixture fixture(kind, 64);
  for (const test::OutputItem& item : items) {
    Status status = fixture.Feed(item);
    if (status.code() == Code::kShortBuffer) {
      fixture.Take();
      status = fixture.Feed(item);
    }
    Require(status.ok());
  }
  fixture.stream.Finish(closed);
  fixture.Take();
  return fixture.events;
}

void ParseAll(const uint8_t* data, size_t size) {
  if (size == 0) return;
  const auto kind = static_cast<OutputKind>(data[0] % 4);
  const bool closed = (data[0] & 4) != 0;
  const auto items = ReadItems(kind, data + 1, size - 1);
  const std::string events = test::OutputFixture(kind, 64).Run(items, closed);
  Require(events.rfind("failed", 0) != 0 && IsUtf8(events));
  Require(test::OutputFixture(kind, 64).Run(test::CutOutput(items, 1), closed) == events);
  Require(RunFull(kind, items, closed) == events);
}

}  // namespace

namespace test {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  const char* const texts[] = {
      "caf\xC3\xA9",
      "<|start|>assistant<|channel|>analysis<|message|>Hm<|end|><|start|>assistant to=functions.f"
      "<|channel|>commentary <|constrain|>json<|message|>{\"a\":1}",
      "<|channel>thought\nHm\n<channel|><|tool_call>call:f{a:<|\"|>x<|\"|>,b:[1,{c:true}],\"d\":"
      "\"\\u00e9\"}"
      "<tool_call|>text",
      "<think>\nHm\n</think>\n\nHi <tool_call>\n<function=f>\n<parameter=a>\n[1, 2]\n</parameter>\n"
      "<parameter=b>x</parameter></function></tool_call><tool_call>{\"name\": \"f\", "
      "\"arguments\": "
      "{\"a\": \"\\ud83d\\ude00\"}}</tool_call>",
  };
  std::vector<std::vector<uint8_t>> seeds;
  for (uint8_t kind = 0; kind < 4; ++kind) {
    std::vector<uint8_t> seed = {kind};
    for (const OutputItem& item : ReadOutput(static_cast<OutputKind>(kind), texts[kind])) {
      if (item.mark >= 0) seed.push_back(static_cast<uint8_t>(item.mark));
      seed.insert(seed.end(), item.text.begin(), item.text.end());
    }
    seeds.push_back(seed);
  }
  return seeds;
}

}  // namespace test
}  // namespace junto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  junto::ParseAll(data, size);
  return 0;
}
