// Templates for files that have none that can be read, by the control tokens of their vocabulary.
#ifndef JUNTO_TEXT_CHAT_DEFAULTS_H_
#define JUNTO_TEXT_CHAT_DEFAULTS_H_

#include <string_view>

namespace junto {

struct DefaultTemplate {
  std::string_view markers[2];  // control tokens without which it cannot be
  std::string_view source;
};

// ChatML, as the families of Qwen and MiMo write it, calls as <function=...> in <tool_call>.
constexpr std::string_view kChatMlTemplate = R"jinja(
{%- set first = messages[0].role in ['system', 'developer'] -%}
{%- if first or tools -%}
{{- '<|im_start|>system\n' -}}
{{- messages[0].content if first -}}
{%- if tools -%}
{{- '\n\n' if first -}}
{{- '# Tools\n\nThese functions may be called:\n<tools>\n' -}}
{%- for tool in tools -%}{{- tool.function | tojson ~ '\n' -}}{%- endfor -%}
{{- '</tools>\n\nA call is written like this, and nothing follows it:\n<tool_call>\n<function=NAME>\n<parameter=KEY>\nVALUE\n</parameter>\n</function>\n</tool_call>' -}}
{%- endif -%}
{{- '<|im_end|>\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{- '<|im_start|>user\n' if not loop.previtem or loop.previtem.role != 'tool' -}}
{{- '<tool_response>\n' ~ message.content ~ '\n</tool_response>' -}}
{{- '<|im_end|>\n' if not loop.nextitem or loop.nextitem.role != 'tool' else '\n' -}}
{%- elif not (loop.first and first) -%}
{{- '<|im_start|>' ~ ('system' if message.role == 'developer' else message.role) ~ '\n' -}}
{{- message.content -}}
{%- for call in message.tool_calls or [] -%}
{{- '\n' if message.content or not loop.first -}}
{{- '<tool_call>\n<function=' ~ call.function.name ~ '>\n' -}}
{%- for key, value in call.function.arguments | items -%}
{{- '<parameter=' ~ key ~ '>\n' ~ (value if value is string else value | tojson) ~ '\n</parameter>\n' -}}
{%- endfor -%}
{{- '</function>\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\n' -}}
{{- '<think>\n\n</think>\n\n' if enable_thinking is false -}}
{%- endif -%}
)jinja";

// Gemma 4: values of its own notation, results inside the model's turn, which stays open.
constexpr std::string_view kGemma4Template = R"jinja(
{%- macro show(value) -%}
{%- if value is string -%}{{- '<|"|>' ~ value ~ '<|"|>' -}}
{%- elif value is boolean or value is none -%}{{- value | tojson -}}
{%- elif value is mapping -%}{
{%- for key, inner in value | dictsort -%}{{- key ~ ':' ~ show(inner) ~ ('' if loop.last else ',') -}}{%- endfor -%}
}
{%- elif value is sequence -%}[
{%- for inner in value -%}{{- show(inner) ~ ('' if loop.last else ',') -}}{%- endfor -%}
]
{%- else -%}{{- value -}}{%- endif -%}
{%- endmacro -%}
{%- macro schema(value) -%}{
{%- for key, inner in value | dictsort if key not in ['type', 'title', 'additionalProperties'] -%}
{{- key ~ ':' -}}
{%- if key == 'properties' -%}{
{%- for name, property in inner | dictsort -%}{{- name ~ ':' ~ schema(property) ~ ('' if loop.last else ',') -}}{%- endfor -%}
}
{%- elif key == 'items' and inner is mapping -%}{{- schema(inner) -}}
{%- else -%}{{- show(inner) -}}{%- endif -%}
{{- ',' -}}
{%- endfor -%}
{{- 'type:' ~ show((value['type'] or 'object') | upper) ~ '}' -}}
{%- endmacro -%}
{%- set first = messages[0].role in ['system', 'developer'] -%}
{{- bos_token -}}
{%- if first or tools or enable_thinking -%}
{{- '<|turn>system\n' -}}
{{- '<|think|>\n' if enable_thinking -}}
{{- messages[0].content | trim if first -}}
{%- for tool in tools or [] -%}
{{- '<|tool>declaration:' ~ tool.function.name ~ '{description:' ~ show(tool.function.description or '') -}}
{{- ',parameters:' ~ schema(tool.function.parameters) if tool.function.parameters -}}
{{- '}<tool|>' -}}
{%- endfor -%}
{{- '<turn|>\n' -}}
{%- endif -%}
{%- set turn = namespace(open=false) -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
{{- '<|tool_response>response:' ~ message.name ~ '{value:' ~ show(message.content) ~ '}<tool_response|>' -}}
{%- elif not (loop.first and first) -%}
{%- if not (turn.open and message.role == 'assistant') -%}
{{- '<|turn>' ~ ('model' if message.role == 'assistant' else message.role) ~ '\n' -}}
{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{{- '<|tool_call>call:' ~ call.function.name ~ show(call.function.arguments) ~ '<tool_call|>' -}}
{%- endfor -%}
{{- message.content | trim -}}
{%- set turn.open = message.tool_calls is defined -%}
{{- '<turn|>\n' if not turn.open -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and not turn.open -%}
{{- '<|turn>model\n' -}}
{{- '<|channel>thought\n<channel|>' if not enable_thinking -}}
{%- endif -%}
)jinja";

// Gemma 3, which has no turn for the system: the first of the user's takes it in.
constexpr std::string_view kGemma3Template = R"jinja(
{{- bos_token -}}
{%- set system = namespace(text='') -%}
{%- for message in messages -%}
{%- if message.role in ['system', 'developer'] -%}
{%- set system.text = system.text ~ message.content ~ '\n\n' -%}
{%- else -%}
{{- '<start_of_turn>' ~ ('model' if message.role == 'assistant' else 'user') ~ '\n' -}}
{{- system.text ~ message.content | trim ~ '<end_of_turn>\n' -}}
{%- set system.text = '' -%}
{%- endif -%}
{%- endfor -%}
{{- '<start_of_turn>model\n' if add_generation_prompt -}}
)jinja";

constexpr DefaultTemplate kDefaultTemplates[] = {
    {{"<|im_start|>", "<|im_end|>"}, kChatMlTemplate},
    {{"<|turn>", "<turn|>"}, kGemma4Template},
    {{"<start_of_turn>", "<end_of_turn>"}, kGemma3Template},
};

}  // namespace junto

#endif  // JUNTO_TEXT_CHAT_DEFAULTS_H_
