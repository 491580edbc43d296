// Any bytes as a chat template, rendered over a conversation.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "../support/faults.h"
#include "junto/text/jinja/template.h"
#include "seeds.h"

namespace junto {
namespace {

void Require(bool fact) {
  if (!fact) std::abort();
}

const char* const kVariables =
    R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U é"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f",
         "arguments": {"x": 1.0, "y": [null, true]}}}]}, {"role": "tool", "content": "R"}],
        "tools": [{"function": {"name": "f", "parameters": {"type": "object"}}}], "n": 3,
        "add_generation_prompt": true, "bos_token": "<s>"})";

void ReadAndRender(std::string_view source) {
  test::CountingAllocator allocator;
  {
    Memory memory(&allocator, 64 << 20);
    try {
      Owned<jinja::Template> read;
      const Status status = jinja::Template::Read(source, &memory, &read);
      Require(status.ok() == (read != nullptr));
      Require(status.ok() || status.message()[0] != '\0');
      if (status.ok()) {
        jinja::Limits limits;
        limits.steps = 20000;
        limits.bytes = 1 << 20;
        jinja::Workspace work(&memory, limits);
        jinja::Value globals;
        Require(jinja::JsonValues(&work, kVariables).Read(&globals).ok());
        SegmentList out(&memory);
        const Status rendered = read->Render(&work, globals, nullptr, &out);
        Require(rendered.ok() || (rendered.code() == Code::kInvalid && out.text().empty()));
        Require(out.text().size() <= limits.bytes && IsUtf8(out.text()));
        Require(out.segments().empty()
                    ? out.text().empty()
                    : out.segments()[out.segments().size() - 1].end == out.text().size());
      }
    } catch (const OutOfMemory&) {
    }
  }
  Require(allocator.clean());
}

}  // namespace

namespace test {

std::vector<std::vector<uint8_t>> FuzzSeeds() {
  const std::string sources[] = {
      "{{ bos_token }}{% for m in messages %}{{ '<|' ~ m.role ~ '|>' + m.content | trim }}\n"
      "{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments | tojson }})"
      "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
      "{%- macro show(v, deep=true) -%}{%- if v is mapping -%}{% for k, w in v | dictsort %}"
      "{{ k.upper()[:2] }}:{{ show(w) }}{{ ',' if not loop.last }}{% endfor %}{%- elif v is string "
      "-%}"
      "{{ v | replace('a', \"b\") | indent(2, first=true) }}{%- else -%}{{ v }}{%- endif -%}"
      "{%- endmacro -%}{% set ns = namespace(n=0, s='') %}{% for t in tools if t.function %}"
      "{% set ns.n = ns.n + 1 %}{% set ns.s = ns.s ~ show(t) %}{% break %}{% endfor %}{{ "
      "ns.s[::-1] }}",
      "{# c #}{% set x %}a{% endset %}{% filter upper %}{{ x }}{% endfilter %}{% raw %}{{ }}{% "
      "endraw %}"
      "{{ messages | map(attribute='role') | join(', ') }}{{ range(n)[1:] | list | "
      "tojson(indent=1) }}"
      "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ 7 // 2 * -1.5 % 4 "
      "}}"};
  std::vector<std::vector<uint8_t>> seeds;
  for (const std::string& source : sources) seeds.emplace_back(source.begin(), source.end());
  return seeds;
}

}  // namespace test
}  // namespace junto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  junto::ReadAndRender({reinterpret_cast<const char*>(data), size});
  return 0;
}
