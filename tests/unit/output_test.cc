// What parsers make of the output of models. In these texts marks are spelled; behind \1 they are
// forged. "[c]" begins content, "[r]" reasoning, "[n0]" the name of the first tool, "[a0]" its
// arguments. Every case is fed whole, byte by byte, and cut in two at every place.
#include "tests/support/output.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "junto/text/conversation.h"
#include "junto/text/tool_schemas.h"
#include "tests/support/faults.h"
#include "tests/support/text_vocabulary.h"

namespace junto {
namespace {

using test::CutOutput;
using test::OutputFixture;
using test::OutputItem;
using test::ReadOutput;

struct Case {
  const char* text;
  const char* events;
};

// Feeds `items` in every way they can be cut in two, once for each size of piece besides.
void CheckCuts(OutputKind kind, const std::vector<OutputItem>& items, const std::string& expected,
               bool closed) {
  for (const size_t size : {1, 2, 3, 7}) {
    INFO("pieces of " << size);
    REQUIRE(OutputFixture(kind).Run(CutOutput(items, size), closed) == expected);
  }
  for (size_t i = 0; i < items.size(); ++i) {
    for (size_t at = 1; at < items[i].text.size(); ++at) {
      std::vector<OutputItem> cut(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(i));
      cut.push_back({-1, items[i].text.substr(0, at)});
      cut.push_back({-1, items[i].text.substr(at)});
      cut.insert(cut.end(), items.begin() + static_cast<std::ptrdiff_t>(i) + 1, items.end());
      INFO("cut at " << at << " of item " << i);
      REQUIRE(OutputFixture(kind).Run(cut, closed) == expected);
    }
  }
}

void CheckCases(OutputKind kind, const std::vector<Case>& cases, bool closed = true) {
  for (const Case& one : cases) {
    INFO(one.text);
    const std::vector<OutputItem> items = ReadOutput(kind, one.text);
    CHECK(OutputFixture(kind).Run(items, closed) == one.events);
    CheckCuts(kind, items, one.events, closed);
  }
}

TEST_CASE("plain output is content") {
  CheckCases(OutputKind::kPlain,
             {{"", ""},
              {"caf\xC3\xA9 <think>no</think>", "[c]caf\xC3\xA9 <think>no</think>"},
              {"\n a \n", "[c]\n a \n"}});
}

TEST_CASE("Harmony") {
  CheckCases(
      OutputKind::kHarmony,
      {
          {"<|channel|>analysis<|message|>Simple. "
           "caf\xC3\xA9<|end|><|start|>assistant<|channel|>final"
           "<|message|>2 + 2 = 4.",
           "[r]Simple. caf\xC3\xA9[c]2 + 2 = 4."},
          {"<|start|>assistant<|channel|>commentary to=functions.get_weather "
           "<|constrain|>json<|message|>"
           "{\"city\":\"Oslo\"}",
           "[n0]get_weather[a0]{\"city\":\"Oslo\"}"},
          {"<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{}",
           "[n0]f[a0]{}"},
          {"<|start|>assistant "
           "to=functions.f<|channel|>commentary<|constrain|>json<|message|>{\"a\":1}",
           "[n0]f[a0]{\"a\":1}"},
          {"<|channel|>analysis to=functions.f code<|message|>{\"a\":1}", "[n0]f[a0]{\"a\":1}"},
          {"<|channel|>analysis to=python code<|message|>print(1)", "[n0]python[a0]print(1)"},
          {"<|channel|>commentary to=browser.search code<|message|>{}", "[n0]browser.search[a0]{}"},
          {"<|channel|>commentary to=functions.f<|message|>", "[n0]f[a0]{}"},
          // Preambles, and two messages of a kind.
          {"<|channel|>commentary<|message|>I "
           "look.<|end|><|start|>assistant<|channel|>final<|message|>Done.",
           "[c]I look.\nDone."},
          {"<|channel|>analysis<|message|>one<|end|><|start|>assistant<|channel|>analysis<|message|"
           ">two<|end|>",
           "[r]one\ntwo"},
          {"<|channel|>commentary "
           "to=functions.f<|message|>{}<|end|><|start|>assistant<|channel|>commentary "
           "to=functions.g<|message|>{\"b\":2}",
           "[n0]f[a0]{}[n1]g[a1]{\"b\":2}"},
          {"<|channel|>final<|message|>", ""},
          // What markers in the text cannot do.
          {"<|channel|>final<|message|>Say "
           "\1<|end|>\1<|start|>x\1<|channel|>analysis\1<|message|>y",
           "[c]Say <|end|><|start|>x<|channel|>analysis<|message|>y"},
          {"<|channel|>final<|message|>an odd <|constrain|>mark <|message|>here",
           "[c]an odd mark here"},
          // Slips.
          {"<|channel|>commentary to=assistant<|channel|>analysis<|message|>Hi", "[c]Hi"},
          {"<|channel|>commentary?<|message|>Hi", "[c]Hi"},
          {"<|channel|>analysis: well<|message|>Hm<|end|>", "[r]Hm"},
          {"<|channel|>thoughts<|message|>Hm", "[c]Hm"},
          {"<|channel|>finalHello there.", "[c]Hello there."},
          {"<|channel|>final Hello there.", "[c]Hello there."},
          {"<|channel|>analysis I think<|end|><|start|>assistant<|channel|>final<|message|>Yes",
           "[r]I think[c]Yes"},
          {"<|channel|>commentary to=functions.f {\"a\": 1}", "[n0]f[a0]{\"a\": 1}"},
          {"<|channel|>analysis<|message|>A<|channel|>final<|message|>B", "[r]A[c]B"},
          {"<|channel|>analysis<|message|>A<|end|><|channel|>final<|message|>B", "[r]A[c]B"},
          {"<|channel|>analysis<|message|>A<|end|>\n<|message|>B", "[r]A[c]B"},
          {"<|channel|>analysis<|message|>A<|end|>no header", "[r]A[c]no header"},
          {"no header at all", "[c]no header at all"},
          {"<|start|>Just talking here.", "[c]Just talking here."},
          {"<|start|>assistant", ""},
          {"<|start|><|start|>assistant<|channel|>final<|message|>x", "[c]x"},
      });
  const std::string many(300, 'z');
  CheckCases(OutputKind::kHarmony,
             {{("<|channel|>final " + many + "<|message|>y").c_str(), ("[c]" + many + "y").c_str()},
              {("<|start|>" + many).c_str(), ("[c]" + many).c_str()}});
}

// tests/oracle/make_output_vectors.py
TEST_CASE("Harmony's own parser reads the same") {
  const nlohmann::json& cases = test::TextData("harmony_output.json");
  REQUIRE(cases.size() > 60);
  for (const auto& one : cases) {
    OutputFixture fixture(OutputKind::kHarmony);
    fixture.stream.Mute(true);
    for (const OutputItem& item : ReadOutput(OutputKind::kHarmony, "<|start|>assistant")) {
      REQUIRE(fixture.Feed(item).ok());
    }
    fixture.stream.EndPrompt();
    fixture.stream.Mute(false);
    std::vector<OutputItem> items;
    for (const std::string token : one["tokens"]) {
      const std::vector<OutputItem> mark = ReadOutput(OutputKind::kHarmony, token);
      if (token == "<|call|>" || token == "<|return|>") continue;
      items.push_back(mark[0].mark >= 0 ? mark[0] : OutputItem{-1, test::FromHex(token)});
    }
    // The messages as events: those of a channel are kept apart by a newline.
    std::string expected;
    std::string last;
    std::string said[2];
    int calls = 0;
    for (const auto& message : one["messages"]) {
      const std::string text = message[2];
      if (message[1].is_string()) {
        std::string name = message[1];
        if (name.rfind("functions.", 0) == 0) name.erase(0, 10);
        const std::string call = std::to_string(calls++);
        expected += "[n" + call + "]" + name + "[a" + call + "]" + text;
        last.clear();
      } else if (!text.empty()) {
        const bool reasoning = message[0] == "analysis";
        const std::string channel = reasoning ? "[r]" : "[c]";
        if (channel != last) expected += channel;
        if (!said[reasoning].empty()) expected += "\n";
        expected += text;
        said[reasoning] = last = channel;
      }
    }
    INFO(one.dump());
    CHECK(fixture.Run(items) == expected);
  }
}

// Which parameters are texts, of tools given as JSON.
TEST_CASE("calls in XML, with schemas") {
  test::CountingAllocator allocator;
  Memory memory(&allocator, 0);
  Conversation conversation(&memory);
  const std::string_view json = R"([
      {"name": "f", "parameters": {"properties": {
          "s": {"type": "string"}, "n": {"type": "integer"}, "b": {"type": "boolean"},
          "sn": {"type": ["string", "null"]}, "nullable": {"type": "string", "nullable": true},
          "mixed": {"type": ["string", "number"]}, "enum": {"enum": ["1", "2"]},
          "choice": {"enum": ["1", 2]}, "any": {"anyOf": [{"type": "string"}, {"type": "null"}]},
          "one": {"oneOf": [{"type": "string"}, {"enum": ["7"]}]}, "open": {}, "odd": 3,
          "none": {"type": []}, "a": {"type": "array", "items": {"type": "string"}}}}},
      {"type": "function", "function": {"name": "g", "parameters": {"properties":
          {"n": {"type": "string"}}}}},
      {"name": "h", "parameters": {"properties": 3}}, {"name": "i"}])";
  conversation.tools.assign(json);
  jinja::Workspace work(&memory, {});
  jinja::Value tools;
  REQUIRE(ConversationValues(&work, conversation, {}).Tools(&tools).ok());
  const Vector<uint64_t> texts = ToolSchemas(&work).TextParametersOf(tools);
  REQUIRE(work.status().ok());
  const std::string names[] = {"s",      "n",   "b",   "sn",   "nullable", "mixed", "enum",
                               "choice", "any", "one", "open", "odd",      "none",  "a"};
  const auto read = [&](const std::string& tool, const std::string& value, bool close = true) {
    std::string text = "<tool_call><function=" + tool + ">";
    for (const std::string& name : names) {
      text += "<parameter=" + name + ">" + value + "</parameter>";
    }
    text += close ? "</function></tool_call>" : "";
    std::string all;
    for (const size_t size : {size_t{1}, size_t{5}, text.size()}) {
      OutputFixture fixture(OutputKind::kTagged, text.size());
      fixture.stream.SetTextParameters(texts);
      const std::string events =
          fixture.Run(CutOutput(ReadOutput(OutputKind::kTagged, text), size));
      CHECK((all.empty() || events == all));
      all = events;
    }
    const std::string head = "[n0]" + tool + "[a0]";
    REQUIRE(all.substr(0, head.size()) == head);
    return nlohmann::json::parse(all.substr(head.size()));
  };
  const auto expect = [&](const std::string& value, const nlohmann::json& text,
                          const nlohmann::json& nullable, const nlohmann::json& any) {
    INFO(value);
    const nlohmann::json f = read("f", value);
    for (const std::string name : {"s", "enum", "one"}) CHECK(f[name] == text);
    for (const std::string name : {"sn", "nullable", "any"}) CHECK(f[name] == nullable);
    for (const std::string name : {"n", "b", "mixed", "choice", "open", "odd", "none", "a"}) {
      CHECK(f[name] == any);
    }
    CHECK(read("g", value)["n"] == text);
    CHECK(read("g", value)["s"] == any);
    CHECK(read("i", value)["n"] == any);
  };
  expect("5", "5", "5", 5);
  expect("\n5\n", "5", "5", 5);
  expect("true", "true", "true", true);
  expect("True", "True", "True", true);
  expect("null", "null", nullptr, nullptr);
  expect("None", "None", nullptr, nullptr);
  expect("nul", "nul", "nul", "nul");
  expect("", "", "", "");
  expect("{\"a\": [1]}", "{\"a\": [1]}", "{\"a\": [1]}", {{"a", {1}}});
  expect("\"q\"", "\"q\"", "\"q\"", "\"q\"");
  expect("1\n2", "1\n2", "1\n2", "1\n2");
  const std::string long_space(5000, ' ');
  expect(long_space + "x", long_space + "x", long_space + "x", long_space + "x");
}

// tests/data/harmony/README.md
TEST_CASE("Harmony's own vectors are read") {
  const nlohmann::json& data = test::TextData("../harmony/vectors.json");
  CHECK(data["parse"].size() == 4);
  for (const auto& one : data["parse"]) {
    const std::string name = one["file"];
    std::ifstream file(std::string(JUNTO_TEST_DATA) + "/harmony/" + name);
    std::string text;
    if (one["ids"]) {
      for (std::string id; file >> id;) text += data["pieces"][id].get<std::string>();
    } else {
      text.assign(std::istreambuf_iterator<char>(file), {});
      while (!text.empty() && IsSpace(text.back())) text.pop_back();
    }
    for (const std::string end : {"<|return|>", "<|call|>"}) {  // tokens that end a generation
      const size_t at = text.find(end);
      if (at != std::string::npos) text.erase(at, end.size());
    }
    INFO(name);
    const std::vector<OutputItem> items = ReadOutput(OutputKind::kHarmony, text);
    const std::string expected = one["events"];
    CHECK(OutputFixture(OutputKind::kHarmony).Run(items) == expected);
    CheckCuts(OutputKind::kHarmony, items, expected, true);
  }
}

TEST_CASE("Harmony, cut off") {
  CheckCases(OutputKind::kHarmony,
             {{"<|channel|>commentary to=functions.get_we", ""},
              {"<|channel|>commentary to=functions.f<|message|>{\"a\"", "[n0]f[a0]{\"a\""},
              {"<|channel|>commentary to=functions.f<|message|>", "[n0]f"},
              {"<|channel|>ana", ""},
              {"<|channel|>final<|message|>Hel", "[c]Hel"}},
             false);
}

TEST_CASE("Gemma 4") {
  CheckCases(
      OutputKind::kGemma,
      {
          {"Just text.", "[c]Just text."},
          {"<|channel>thought\nNeed the "
           "tool.\n<channel|><|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>,"
           "days:2,opts:{alerts:true,tags:[<|\"|>a<|\"|>,<|\"|>b<|\"|>]}}<tool_call|>",
           "[r]Need the "
           "tool.[n0]get_weather[a0]{\"city\":\"Paris\",\"days\":2,\"opts\":{\"alerts\":true,"
           "\"tags\":[\"a\",\"b\"]}}"},
          {"<|channel>thought\n<channel|>Hi", "[c]Hi"},
          {"<|channel>thought<channel|>Hi", "[c]Hi"},
          {"<|channel>thought\none\n<channel|>A<|channel>thought\ntwo<channel|>B",
           "[r]one[c]A[r]\ntwo[c]B"},
          {"<|tool_call>call:f{}<tool_call|><|tool_call>call:a.b-c{x:<|\"|>{\"}\\\n\xC3\xA9\1<tool_"
           "call|><|\"|>}<tool_call|>",
           "[n0]f[a0]{}[n1]a.b-c[a1]{\"x\":\"{\\\"}\\\\\\n\xC3\xA9<tool_call|>\"}"},
          {"<|tool_call>call:f{a:1.0,b:-1e5,c:123456789012345678901,d:null,e:None,f:True,g:False,h:"
           "0}<tool_call|>",
           "[n0]f[a0]{\"a\":1.0,\"b\":-1e5,\"c\":123456789012345678901,\"d\":null,\"e\":null,\"f\":"
           "true,"
           "\"g\":false,\"h\":0}"},
          {"<|tool_call>call:f{a:[],b:{},c:[[1,2],[{d:3}]]}<tool_call|>Then",
           "[n0]f[a0]{\"a\":[],\"b\":{},\"c\":[[1,2],[{\"d\":3}]]}[c]Then"},
          // Marks in text, and closers that close nothing.
          {"a\1<|tool_call>b<channel|>c<tool_call|>d", "[c]a<|tool_call>bcd"},
          {"He said <|\"|>hi<|\"|>", "[c]He said <|\"|>hi<|\"|>"},
          // Slips.
          {"<|channel>thought\n<|channel>thought\nx<channel|>y", "[r]x[c]y"},
          {"<|channel>I wonder\nwhy<channel|>y", "[r]I wonder\nwhy[c]y"},
          {"<|channel>I wonder<channel|>y", "[r]I wonder[c]y"},
          {"<|channel>thought\nx <|tool_call>call:f{}<tool_call|>", "[r]x[n0]f[a0]{}"},
          {"<|tool_call> call:f { a : 1 , b : <|\"|>x<|\"|> , } <tool_call|>",
           "[n0]f[a0]{\"a\":1,\"b\":\"x\"}"},
          {"<|tool_call>call:f{city:Paris,at:10:30,n:007,x:+5}<tool_call|>",
           "[n0]f[a0]{\"city\":\"Paris\",\"at\":\"10:30\",\"n\":\"007\",\"x\":\"+5\"}"},
          {"<|tool_call>call:f{\"a\":\"x\\n\\u00e9\\\"\",<|\"|>b<|\"|>:[\"y\"]}<tool_call|>",
           "[n0]f[a0]{\"a\":\"x\\n\xC3\xA9\\\"\",\"b\":[\"y\"]}"},
          {"<|tool_call>call:f{{a:1}}<tool_call|>", "[n0]f[a0]{\"a\":1}"},
          {"<|tool_call>call:f{a:<|\"|>x<tool_call|>", "[n0]f[a0]{\"a\":\"x\"}"},
          {"<|tool_call>call:f{a:{b:[1,2<tool_call|>", "[n0]f[a0]{\"a\":{\"b\":[1,2]}}"},
          {"<|tool_call>call:f{a:[1,{b:2]}<tool_call|>", "[n0]f[a0]{\"a\":[1,{\"b\":2}]}"},
          {"<|tool_call>call:f{a,b:,c:[1,,2,],d}<tool_call|>",
           "[n0]f[a0]{\"a\":null,\"b\":null,\"c\":[1,2],\"d\":null}"},
          {"<|tool_call>call:f{a:1 b:2}<tool_call|>", "[n0]f[a0]{\"a\":\"1 b:2\"}"},
          {"<|tool_call>call:f{a:<|\"|>x<|\"|>b:2}<tool_call|>", "[n0]f[a0]{\"a\":\"x\",\"b\":2}"},
          {"<|tool_call>call:f{two words:1}<tool_call|>", "[n0]f[a0]{\"two words\":1}"},
          {"<|tool_call>call:f{a:1}<|tool_call>call:g{}", "[n0]f[a0]{\"a\":1}[n1]g[a1]{}"},
          {"<|tool_call>call:f{a:1}and more<tool_call|>", "[n0]f[a0]{\"a\":1}[c]and more"},
          // No calls.
          {"<|tool_call>hello<tool_call|>!", "[c]<|tool_call>hello<tool_call|>!"},
          {"<|tool_call>call:two names{}<tool_call|>!",
           "[c]<|tool_call>call:two names{}<tool_call|>!"},
          {"<|tool_call>call:{}<tool_call|>", "[c]<|tool_call>call:{}<tool_call|>"},
          {"<|tool_call><tool_call|>", "[c]<|tool_call><tool_call|>"},
          {"<|tool_call>call:f<|\"|>{}<tool_call|>", "[c]<|tool_call>call:f<|\"|>{}<tool_call|>"},
      });
  const std::string deep(70, '[');
  const std::string open(63, '[');
  CheckCases(OutputKind::kGemma,
             {{("<|tool_call>call:f{a:" + deep + "1").c_str(),
               ("[n0]f[a0]{\"a\":" + open + "[c]" + deep.substr(63) + "1").c_str()},
              {("<|tool_call>call:f{a:" + std::string(80, 'x') + "}").c_str(),
               ("[n0]f[a0]{\"a\":\"" + std::string(80, 'x') + "\"}").c_str()},
              {("<|tool_call>call:" + std::string(300, 'x') + "{}").c_str(),
               ("[c]<|tool_call>call:" + std::string(300, 'x') + "{}").c_str()}});
}

TEST_CASE("Gemma 4, cut off") {
  CheckCases(OutputKind::kGemma,
             {{"<|channel>thou", ""},
              {"<|channel>thought\nWell \n", "[r]Well \n"},
              {"<|tool_call>call:f{a:<|\"|>x", "[n0]f[a0]{\"a\":\"x"},
              {"<|tool_call>call:f", "[c]<|tool_call>call:f"}},
             false);
}

TEST_CASE("calls in XML, and thoughts") {
  CheckCases(
      OutputKind::kTagged,
      {
          {"<think>\nNeed the tool.\n</think>\n\nLet me "
           "check.\n\n<tool_call>\n<function=get_weather>\n"
           "<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n2\n</"
           "parameter>\n<parameter=opts>\n"
           "{\"units\": "
           "\"C\"}\n</parameter>\n<parameter=flag>\nTrue\n</parameter>\n</function>\n</tool_call>",
           "[r]Need the tool.[c]Let me check.[n0]get_weather[a0]{\"city\":\"Oslo\",\"days\":2,"
           "\"opts\":{\"units\": \"C\"},\"flag\":true}"},
          {"<think>Need the "
           "tool.</think><tool_call>\n<function=get_weather>\n<parameter=city>Oslo</parameter>\n"
           "<parameter=days>1</parameter>\n</function>\n</tool_call>",
           "[r]Need the tool.[n0]get_weather[a0]{\"city\":\"Oslo\",\"days\":1}"},
          {"<think></think>Hi", "[c]Hi"},
          {"\n\nHi \n there \n", "[c]Hi \n there \n"},
          {"  indented", "[c]  indented"},
          {"<tool_call>\n<function=f>\n</function>\n</"
           "tool_call>\n<tool_call>\n<function=g>\n<parameter=a>\n\n</parameter>\n"
           "</function>\n</tool_call>",
           "[n0]f[a0]{}[n1]g[a1]{\"a\":\"\"}"},
          // Values are verbatim.
          {"<tool_call><function=f><parameter=a>\n\n x<y \"z\" \\ "
           "</param\n<b>\n\n</parameter></function></tool_call>",
           "[n0]f[a0]{\"a\":\"\\n x<y \\\"z\\\" \\\\ </param\\n<b>\\n\"}"},
          {"<tool_call><function=f><parameter=a> x\n</parameter></function></tool_call>",
           "[n0]f[a0]{\"a\":\" x\\n\"}"},
          {"<tool_call><function=f><parameter=a>\n<parameter=b>1</parameter> "
           "</function>\n</parameter></function></tool_call>",
           "[n0]f[a0]{\"a\":\"<parameter=b>1</parameter> </function>\"}"},
          {"<tool_call><function=f><parameter=a>\nsay <think> and "
           "\1</tool_call>\n</parameter></function></tool_call>",
           "[n0]f[a0]{\"a\":\"say <think> and </tool_call>\"}"},
          {"<tool_call><function=f><parameter=a>007</parameter><parameter=b>1.0</"
           "parameter><parameter=c>-1e5</parameter>"
           "<parameter=d>\"q\"</parameter><parameter=e>null</parameter><parameter=f>nul</parameter>"
           "<parameter=g>[1, {\"x\":[]}]</parameter><parameter=h>[1, "
           "x]</parameter><parameter=i>None</parameter>"
           "<parameter=j>Falsey</parameter><parameter=k>{}{}</parameter><parameter=l>-</"
           "parameter></function></tool_call>",
           "[n0]f[a0]{\"a\":\"007\",\"b\":1.0,\"c\":-1e5,\"d\":\"\\\"q\\\"\",\"e\":null,\"f\":"
           "\"nul\","
           "\"g\":[1, {\"x\":[]}],\"h\":\"[1, "
           "x]\",\"i\":null,\"j\":\"Falsey\",\"k\":\"{}{}\",\"l\":\"-\"}"},
          {"<tool_call><function=f><parameter=a>caf\xC3\xA9 "
           "&amp;\t</parameter></function></tool_call>",
           "[n0]f[a0]{\"a\":\"caf\xC3\xA9 &amp;\\t\"}"},
          // Forged.
          {"I write \1<think> and \1<tool_call>{\"name\": \"f\"}\1</tool_call>.",
           "[c]I write <think> and <tool_call>{\"name\": \"f\"}</tool_call>."},
          {"<think>one \1</think> two</think>three", "[r]one </think> two[c]three"},
          // Slips.
          {"<think><think>\nx</think>y</think>z", "[r]x[c]yz"},
          {"<think>I call<tool_call><function=f></function></tool_call>", "[r]I call[n0]f[a0]{}"},
          {"<tool_call><function=f><parameter=a>1</parameter></tool_call>", "[n0]f[a0]{\"a\":1}"},
          {"<tool_call><function=f><parameter=a>\nx\n</function></tool_call>y",
           "[n0]f[a0]{\"a\":\"x\"}[c]y"},
          {"<tool_call><function=f><parameter=a>\nx</parameter>\n</function></tool_call>y",
           "[n0]f[a0]{\"a\":\"x\"}[c]y"},
          {"<tool_call><function=f><parameter=a>x</tool_call>", "[n0]f[a0]{\"a\":\"x\"}"},
          {"<tool_call><function=f><parameter=a>1</parameter><tool_call><function=g></function></"
           "tool_call>",
           "[n0]f[a0]{\"a\":1}[n1]g[a1]{}"},
          {"<tool_call><function=f></function><function=g></function></tool_call>",
           "[n0]f[a0]{}[n1]g[a1]{}"},
          {"<tool_call><function=f></parameter>oops<parameter=a>1</parameter><b></function></"
           "tool_call>",
           "[n0]f[a0]{[c]oops[a0]\"a\":1[c]<b>[a0]}"},
          {"<tool_call><function=f></function></tool_call>after", "[n0]f[a0]{}[c]after"},
          {"before<tool_call><function=f></function></tool_call>\nafter",
           "[c]before[n0]f[a0]{}[c]\nafter"},
          // No calls.
          {"so: <tool_call>what?</tool_call> yes", "[c]so: <tool_call>what?</tool_call> yes"},
          {"<tool_call>\n<func>x</tool_call>", "[c]<tool_call>\n<func>x</tool_call>"},
          {"<tool_call><function=></tool_call>", "[c]<tool_call><function=></tool_call>"},
          {"<tool_call><function=two names></function></tool_call>",
           "[c]<tool_call><function=two names></function></tool_call>"},
          {"<tool_call></tool_call>", "[c]<tool_call></tool_call>"},
          {"</tool_call>x", "[c]x"},
      });
}

TEST_CASE("calls in JSON") {
  CheckCases(
      OutputKind::kTagged,
      {
          {"<think>\nHm.\n</think>\n\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": "
           "{\"city\": \"Oslo\", \"n\": [1, 2]}}\n</tool_call>",
           "[r]Hm.[n0]get_weather[a0]{\"city\": \"Oslo\", \"n\": [1, 2]}"},
          {"<tool_call>{\"name\":\"f\",\"arguments\":{}}</"
           "tool_call>\n<tool_call>{\"name\":\"g\",\"parameters\":{\"a\":\"}\\\"\"}}</tool_call>",
           "[n0]f[a0]{}[n1]g[a1]{\"a\":\"}\\\"\"}"},
          {"<tool_call>{\"arguments\": {\"a\": 1}, \"id\": [{\"name\": 5}], \"name\": "
           "\"f\"}</tool_call>",
           "[n0]f[a0]{\"a\": 1}"},
          {"<tool_call>{\"name\": \"f\"}</tool_call>", "[n0]f[a0]{}"},
          {"<tool_call>{\"n\": 1, \"name\": \"f\", \"x\": -2.5e3}</tool_call>", "[n0]f[a0]{}"},
          {"<tool_call>{\"name\": \"caf\\u00e9\", \"arguments\": {}}</tool_call>",
           "[n0]caf\xC3\xA9[a0]{}"},
          // Arguments in a string.
          {"<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": "
           "\\\"\\ud83d\\ude00\\\\n\\\"}\"}</tool_call>",
           "[n0]f[a0]{\"a\": \"\xF0\x9F\x98\x80\\n\"}"},
          // Slips.
          {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x\ny\"}}</tool_call>",
           "[n0]f[a0]{\"a\": \"x\\ny\"}"},
          {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}</tool_call>",
           "[n0]f[a0]{\"a\": 1}"},
          {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}}</tool_call>",
           "[n0]f[a0]{\"a\": 1}"},
          {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}", "[n0]f[a0]{\"a\": 1}"},
          {"<tool_call>{\"name\": \"f\", \"arguments\": {}}\n{\"name\": \"g\"}</tool_call>",
           "[n0]f[a0]{}[n1]g[a1]{}"},
          {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": oops}}</tool_call>",
           "[n0]f[a0]{\"a\": [c]oops}}"},
          // No calls.
          {"<tool_call>{\"name\": 5}</tool_call>", "[c]<tool_call>{\"name\": 5}</tool_call>"},
          {"<tool_call>{\"nome\": \"f\"}</tool_call>",
           "[c]<tool_call>{\"nome\": \"f\"}</tool_call>"},
          {"<tool_call>{name: \"f\"}</tool_call>x", "[c]<tool_call>{name: \"f\"}</tool_call>x"},
          {"<tool_call>{\"arguments\": {\"a\":</tool_call>x",
           "[c]<tool_call>{\"arguments\": {\"a\":</tool_call>x"},
      });
  const std::string big(5000, 'x');
  CheckCases(OutputKind::kTagged,
             {{"<tool_call>{\"name\": \"f\", \"argum", "[n0]f"},
              {"<tool_call>{\"na", "[c]<tool_call>{\"na"},
              {"<tool_call> ", "[c]<tool_call> "},
              {"<tool_call><func", "[c]<tool_call><func"},
              {"<tool_call><function=f><parameter=a>\nx\n</para", "[n0]f[a0]{\"a\":\"x\\n</para"},
              {"<tool_call><function=f><parameter=a>12", "[n0]f[a0]{\"a\":12"},
              {"<think>\nWell\n", "[r]Well\n"},
              {"Well \n", "[c]Well \n"}},
             false);
}

TEST_CASE("what is too long to be held goes on all the same") {
  const std::string big(5000, 'x');
  const std::string numbers = [] {
    std::string list = "[1";
    for (int i = 0; i < 3000; ++i) list += ", 2";
    return list + "]";
  }();
  const auto run = [](const std::string& text) {
    return OutputFixture(OutputKind::kTagged)
        .Run(CutOutput(ReadOutput(OutputKind::kTagged, text), 5));
  };
  const std::string begin = "<tool_call><function=f><parameter=a>";
  const std::string end = "</parameter></function></tool_call>";
  CHECK(run(begin + numbers + end) == "[n0]f[a0]{\"a\":" + numbers + "}");
  CHECK(run(begin + big + end) == "[n0]f[a0]{\"a\":\"" + big + "\"}");
  CHECK(run("<tool_call>{\"arguments\": \"" + big + "\", \"name\": \"f\"}</tool_call>") ==
        "[c]<tool_call>{\"arguments\": \"" + big + "\", \"name\": \"f\"}</tool_call>");
  CHECK(run("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"" + big + "\"}}</tool_call>") ==
        "[n0]f[a0]{\"a\": \"" + big + "\"}");
  CHECK(run("a" + std::string(1000, ' ') + "<tool_call><function=f></function></tool_call>") ==
        "[c]a" + std::string(1000 - 64, ' ') + "[n0]f[a0]{}");

  const std::string spaces(60000, ' ');
  const std::string call = "<|tool_call>call:f{ab" + spaces + "c:1}<tool_call|>";
  CHECK(OutputFixture(OutputKind::kGemma).Run(CutOutput(ReadOutput(OutputKind::kGemma, call), 5)) ==
        "[n0]f[a0]{\"ab" + spaces + "c\":1}");
}

TEST_CASE("what is not wanted is left out, and raw output is as it is") {
  const std::string text = "<think>a</think>b<tool_call><function=f></function></tool_call>c";
  const std::vector<OutputItem> items = ReadOutput(OutputKind::kTagged, text);
  const auto run = [&](uint32_t wanted) {
    return OutputFixture(OutputKind::kTagged, 64, wanted).Run(items);
  };
  CHECK(run(0) == "[c]b\nc");
  CHECK(run(kOutputReasoning) == "[r]a[c]b\nc");
  CHECK(run(kOutputCalls) == "[c]b[n0]f[a0]{}[c]\nc");
  const std::vector<OutputItem> spelled = {{-1, text}};
  CHECK(OutputFixture(OutputKind::kTagged, 64, kOutputRaw).Run(spelled) == "[c]" + text);
}

TEST_CASE("stop texts end content, not reasoning or arguments") {
  const auto run = [](const std::string& text, const char* stop) {
    OutputFixture fixture(OutputKind::kHarmony);
    REQUIRE(fixture.stream.AddStop(stop).ok());
    const std::string events = fixture.Run(CutOutput(ReadOutput(OutputKind::kHarmony, text), 1));
    return events + (fixture.stream.stopped() ? "|" : "");
  };
  const std::string text =
      "<|channel|>analysis<|message|>STOP<|end|><|channel|>commentary<|message|>ST<|end|>"
      "<|channel|>commentary to=functions.f<|message|>OP<|end|><|channel|>final<|message|>OP. STO "
      "STOP.";
  CHECK(run(text, "STOP") == "[r]STOP[c]ST[n0]f[a0]OP[c]\nOP. STO |");
  CHECK(run(text, "OP.") == "[r]STOP[c]ST[n0]f[a0]OP[c]\n|");
  CHECK(run(text, "never") == "[r]STOP[c]ST[n0]f[a0]OP[c]\nOP. STO STOP.");
}

TEST_CASE("the end of a prompt says where an answer begins") {
  const auto run = [](OutputKind kind, const char* prompt, const char* text) {
    OutputFixture fixture(kind);
    fixture.stream.Mute(true);
    for (const OutputItem& item : ReadOutput(kind, prompt)) REQUIRE(fixture.Feed(item).ok());
    fixture.stream.EndPrompt();
    fixture.stream.Mute(false);
    return fixture.Run(CutOutput(ReadOutput(kind, text), 1));
  };
  CHECK(run(OutputKind::kTagged, "assistant\n<think>\n", "Hm\n</think>\n\nHi") == "[r]Hm[c]Hi");
  CHECK(run(OutputKind::kTagged, "assistant\n<think>\n\n</think>\n\n", "Hi") == "[c]Hi");
  CHECK(run(OutputKind::kTagged, "assistant\n", "<think>Hm</think>Hi") == "[r]Hm[c]Hi");
  CHECK(run(OutputKind::kTagged, "assistant\nSure, \n", "\nHi") == "[c]Hi");
  CHECK(run(OutputKind::kGemma, "model\n<|channel>thought\n<channel|>", "Hi") == "[c]Hi");
  CHECK(run(OutputKind::kGemma,
            "model\n<|tool_call>call:f{}<tool_call|>response:f{v:<|\"|>x<|\"|>}",
            "<|tool_call>call:g{}<tool_call|>") == "[n0]g[a0]{}");
  CHECK(run(OutputKind::kHarmony, "<|start|>assistant", "<|channel|>final<|message|>Hi") ==
        "[c]Hi");
  CHECK(run(OutputKind::kHarmony, "<|start|>assistant",
            " to=functions.f<|channel|>commentary<|message|>{}") == "[n0]f[a0]{}");
  CHECK(run(OutputKind::kHarmony, "<|start|>assistant<|channel|>final<|message|>", "Hi") ==
        "[c]Hi");
  CHECK(run(OutputKind::kHarmony, "Once upon", " a time") == "[c] a time");
}

// Random output of fragments that mean something: how it is cut changes nothing, calls that are
// complete are JSON, and no text gets lost.
TEST_CASE("any output parses the same however it is cut") {
  std::mt19937 random(5);
  const std::vector<std::string> fragments[] = {
      {"x"},
      {"<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "assistant",
       "analysis", "final", "commentary", " to=functions.f", " to=", "{\"a\":1}", "caf\xC3\xA9 ",
       "\n", "\1<|end|>"},
      {"<|channel>",
       "<channel|>",
       "<|tool_call>",
       "<tool_call|>",
       "<|\"|>",
       "thought\n",
       "call:",
       "f{",
       "a:",
       "1",
       ",",
       "{",
       "}",
       "[",
       "]",
       "\"",
       " x",
       "\\",
       "null",
       "\n",
       "caf\xC3\xA9"},
      {"<think>",
       "</think>",
       "<tool_call>",
       "</tool_call>",
       "<function=",
       "f>",
       "<parameter=a>",
       "1",
       "</parameter>",
       "</function>",
       "\n",
       " ",
       "{\"name\": \"f\"",
       ", \"arguments\": ",
       "{\"a\": 1}",
       "}",
       "true",
       "caf\xC3\xA9",
       "\"",
       "\\",
       "<"}};
  for (int round = 0; round < 6000; ++round) {
    const auto kind = static_cast<OutputKind>(1 + round % 3);
    const auto& parts = fragments[static_cast<size_t>(kind)];
    std::string text;
    for (size_t i = random() % 24; i > 0; --i) text += parts[random() % parts.size()];
    INFO(text);
    const std::vector<OutputItem> items = ReadOutput(kind, text);
    const bool closed = random() % 2 == 0;
    OutputFixture whole(kind);
    const std::string events = whole.Run(items, closed);
    for (const size_t size : {1, 3}) {
      REQUIRE(OutputFixture(kind).Run(CutOutput(items, size), closed) == events);
    }
    REQUIRE(IsUtf8(events));
  }
}

TEST_CASE("complete calls of Gemma are JSON") {
  std::mt19937 random(6);
  const std::vector<std::string> parts = {"a:", "1",  ",",  "{",    "}",    "[",
                                          "]",  "\"", " x", "\\",   "null", "<|\"|>",
                                          "b",  ":",  "\n", "-2.5", "True"};
  int complete = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text = "<|tool_call>call:f{";
    for (size_t i = random() % 16; i > 0; --i) text += parts[random() % parts.size()];
    text += "<tool_call|>";
    INFO(text);
    OutputFixture fixture(OutputKind::kGemma);
    const std::string events = fixture.Run(ReadOutput(OutputKind::kGemma, text));
    const std::string arguments = events.substr(9, events.find("[c]") - 9);
    REQUIRE(events.substr(0, 9) == "[n0]f[a0]");
    REQUIRE(fixture.stream.called());
    INFO(arguments);
    REQUIRE(nlohmann::json::accept(arguments));
    ++complete;
  }
  CHECK(complete == 4000);
}

TEST_CASE("the scanner accepts what is JSON") {
  const char* good[] = {"0",
                        "-0.5e+10",
                        "\"\"",
                        "\"\\u00e9\\n\"",
                        "[]",
                        "[1,[2],{}]",
                        " {\"a\" : [ true , false , null ] } ",
                        "123456789012345678901234567890"};
  const char* bad[] = {"",       "01",      "1.",  ".5",      "+1",    "-",
                       "1e",     "[1,]",    "{,}", "{\"a\"}", "{a:1}", "[1}",
                       "\"\t\"", "\"\\x\"", "tru", "nulll",   "1 2",   "{} []"};
  for (const char* text : good) CHECK(IsJson(text));
  for (const char* text : bad) {
    INFO(text);
    CHECK_FALSE(IsJson(text));
  }
  CHECK(IsJson(std::string(64, '[') + std::string(64, ']')));
  CHECK_FALSE(IsJson(std::string(65, '[') + std::string(65, ']')));
  std::mt19937 random(7);
  const std::string alphabet = "{}[]\",:1e-. \\utn";
  for (int round = 0; round < 100000; ++round) {
    std::string text;
    for (size_t i = random() % 8; i > 0; --i) text += alphabet[random() % alphabet.size()];
    INFO(text);
    REQUIRE(IsJson(text) == nlohmann::json::accept(text));
  }
}

}  // namespace
}  // namespace junto
