#!/usr/bin/env python3
"""Writes tests/data/text/jinja.json: templates with what jinja2 makes of them, set up as for chats.

Needs jinja2 3.1. Every feature of the interpreter has templates of its own here; the expressions
behind them are some of templates_agree.py's.
"""

import json
import pathlib

import templates_agree

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "text" / "jinja.json"

VALUES = {
    "s": "Hello, World", "t": "", "u": "Éa\nß漢 x", "n": 3, "f": 0.1, "b": True, "big": 10**25,
    "l": ["x", "Y", "z", "x"], "d": {"k": "v", "B": [1, 2], "items": 5, "a": None}, "e": {},
    "m": [{"role": "b", "n": 1}, {"role": "a"}, {"role": "c", "n": 3}],
    "deep": {"a": {"b": [{"c": "found"}]}}, "q": "it's \"quoted\" \\ \t\x01é",
}

TEMPLATES = {
    "space": """
a {% if true %}  b
{% endif %}  c
  {%- if true -%}  d  {%- endif -%}
  e {{- 'f' -}}  g
    {% if true %}
    kept
    {% endif %}
    {%+ if true %} plus {% endif +%}

  {# gone #}  x {#- gone -#}  y
{{ 'z' }}
last
""",
    "windows": "a\r\nb\r{% if true %}\r\nc\r\n{% endif %}\r\nd\r\n",
    "raw": "{% raw %}{{ not }} {% if %}{% endraw %}|{%- raw -%}  {# kept #}  {%- endraw -%} |",
    "braces": "{{ {'a': {'b': 1}}.a.b }}{{ {'k': [1, {'x': 2}]} }}{{ [{}] }}",
    "literals": r"""{{ 'a\n\t\\\'\"\x41\u00e9\101\q' }}{{ "b'c" 'd' }}{{ 1.50 }} {{ 2e3 }}
{{ 1e-7 }} {{ 123456789012345678.0 }} {{ 1e16 }} {{ 0.1 + 0.2 }} {{ true }} {{ False }} {{ none }} {{ None }}""",
    "numbers": "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} "
               "{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1 - 2 - 3 }} {{ 2 * 3 + 4 }} {{ -n ** 2 }} {{ +n }} {{ big }} {{ true + 1 }}",
    "compare": "{{ 1 == 1.0 }} {{ '1' == 1 }} {{ 1 < 2 < 3 }} {{ 3 > 2 >= 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} "
               "{{ [1] == [1] }} {{ {'a': 1} == {'a': 1} }} {{ (1,) == [1] }} {{ none == none }} {{ missing == none }} {{ 1 != 2 }}",
    "in": "{{ 'el' in s }} {{ 'x' in l }} {{ 'k' in d }} {{ 'q' not in d }} {{ 3 in [1, 2] }} {{ 2 in range(3) }} {{ '' in s }} {{ 1 in missing }}",
    "logic": "{{ 0 or 'x' }} {{ '' and 'y' }} {{ not 0 }} {{ 1 and 2 or 3 }} {{ none or [] or {} or 'end' }} {{ not not l }}",
    "conditional": "{{ 'a' if b else 'c' }} {{ 'a' if not b }}| {{ 'x' if n > 5 else 'y' if n > 2 else 'z' }}",
    "concat": "{{ 'a' ~ 1 ~ none ~ 2.0 ~ [1, 'x'] ~ {'k': true} ~ missing }} {{ 'a' + 'b' }} {{ [1] + [2] }} {{ 'ab' * 3 }} {{ [0] * 2 }}",
    "items": "{{ l[0] }} {{ l[-1] }} {{ s[1] }} {{ s[-1] }} {{ u[5] }} {{ d['k'] }} {{ d.k }} {{ d.B[1] }} {{ l[9] }}| {{ d.nothing }}| "
             "{{ d['items'] }} {{ deep.a.b[0].c }} {{ deep['a']['b'][0]['c'] }} {{ l.0 }} {{ range(5)[2] }}",
    "methods first": "{{ d.items() | list }} {{ d.items is callable }} {{ e['items'] is mapping }} {{ d.get('items') }} {{ e.get('x') }} {{ e.get('x', 1) }}",
    "slices": "{{ s[1:4] }} {{ s[:-3] }} {{ s[::-1] }} {{ u[1:5] }} {{ l[1:] }} {{ l[::2] }} {{ l[::-1] }} {{ l[5:] }} {{ s[-3:] }} "
              "{{ range(10)[2:8:3] | list }} {{ (1, 2, 3)[1:] }} {{ l[-10:2] }} {{ s[3:1] }}|",
    "for": "{% for x in l %}{{ loop.index }}/{{ loop.length }}{{ x }}{{ ',' if not loop.last }}{% endfor %}|"
           "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}|{% for k in d %}{{ k }}{% endfor %}|{% for c in 'aé' %}{{ c }}.{% endfor %}",
    "loop": "{% for x in l %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.previtem }}{{ loop.nextitem }}"
            "{{ loop.cycle('o', 'e') }}{{ loop.changed(x) }}{{ loop.depth }}{% for y in [1] %}{{ loop.depth }}{{ loop.index }}{% endfor %};{% endfor %}",
    "for if": "{% for x in range(10) if x % 3 == 1 %}{{ loop.index }}:{{ x }} {% endfor %}{% for x in [] %}{% else %}none{% endfor %}"
              "{% for x in l if x == 'no' %}{% else %}none{% endfor %}",
    "break": "{% for x in range(9) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}"
             "{% for y in range(9) %}{% if y == 2 %}{% break %}{% endif %}{{ y }}{% endfor %};{% endfor %}",
    "unpack": "{% for a, (c, dd) in [(1, (2, 3)), [4, [5, 6]]] %}{{ a }}{{ c }}{{ dd }};{% endfor %}{% set x, y = 1, 2 %}{{ x }}{{ y }}"
              "{% for i, ch in [('a', 'b')] %}{{ i }}{{ ch }}{% endfor %}",
    "set": "{% set x = 1 %}{% for i in l %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 'if' %}{% endif %}{{ x }}"
           "{% set y %}block {{ x }}{% endset %}{{ y }}{% set z | upper | trim %}  low {% endset %}[{{ z }}]{% set a, c = 'pq' %}{{ c }}",
    "namespace": "{% set ns = namespace(found=false, n=0) %}{% for x in l %}{% set ns.n = ns.n + 1 %}{% if x == 'Y' %}{% set ns.found = true %}"
                 "{% endif %}{% endfor %}{{ ns.found }}{{ ns.n }}{{ ns.missing }}{% set n2 = namespace({'a': 1}, b=2) %}{{ n2.a + n2.b }}",
    "macro": "{% macro f(a, b='x', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}|{{ f(1, 2) }}|{{ f(c=3, a=1) }}|{{ f() }}"
             "{% macro down(k) %}{{ k }}{% if k > 0 %}{{ down(k - 1) }}{% endif %}{% endmacro %}{{ down(4) }}{{ f('q') | upper }}",
    "macro scope": "{% set g = 'before' %}{% macro show() %}{{ g }}{{ i }}{% endmacro %}{% set g = 'after' %}{% for i in [1] %}{% set g = 'loop' %}"
                   "{{ show() }}{% endfor %}{% macro own(g) %}{% set g = g ~ '!' %}{{ g }}{% endmacro %}{{ own('p') }}{{ g }}",
    "filter block": "{% filter upper %}a{{ s }}{% endfilter %}{% filter replace('a', 'o') | trim %} banana {% endfilter %}",
    "defined": "{{ s is defined }} {{ missing is defined }} {{ missing is undefined }} {{ d.k is defined }} {{ d.zz is not defined }} {{ none is none }}",
    "types": "{% for v in [s, n, f, b, l, d, none, (1,), missing, range(2)] %}{{ v is string }}{{ v is number }}{{ v is integer }}{{ v is float }}{{ v is boolean }}"
             "{{ v is mapping }}{{ v is sequence }}{{ v is iterable }}{{ v is none }}{{ v is true }}{{ v is false }}\n{% endfor %}",
    "tests": "{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 'A' is upper }} {{ 'a' is lower }} {{ 1 is eq 1 }} {{ 1 is ne(2) }} {{ 1 is lt 2 }} "
             "{{ 2 is ge 2 }} {{ 'x' is in l }} {{ 2 is gt 1 }} {{ 'q' is not in l }} {{ 1 is le 1 }}",
    "text filters": "{{ ' a ' | trim }}|{{ 'xxaxx' | trim('x') }} {{ 'straße ﬁ' | upper }} {{ 'ÀB' | lower }} {{ 'hELLO wORLD' | capitalize }} "
                    "{{ 'hello wORLD-x' | title }} {{ 'aaa' | replace('a', 'b', 2) }} {{ s | length }} {{ u | length }} {{ 3 | string }} {{ s | safe }}",
    "indent": "{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, true) }}|{{ 'a\\n\\nb\\n' | indent(1, blank=true) }}|{{ 'a\\nb' | indent('> ') }}",
    "default": "{{ missing | default('x') }} {{ '' | default('y') }}| {{ '' | default('y', true) }} {{ none | d('z', boolean=true) }} {{ missing | default }}|",
    "list filters": "{{ l | join }} {{ l | join('-') }} {{ [1, 2] | join(',') }} {{ m | join(',', attribute='role') }} {{ l | first }} {{ l | last }} {{ l | length }} "
                    "{{ l | list }} {{ 'ab' | list }} {{ l | reverse | list }} {{ 'ab' | reverse }} {{ [] | first }}| {{ [] | length }}",
    "sort": "{{ l | sort }} {{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A', 'B', 'a'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} "
            "{{ m | sort(attribute='role') | map(attribute='role') | join }} {{ l | unique | list }} {{ ['a', 'A'] | unique | list }} {{ l | min }} {{ l | max }} {{ [3, 1] | min }}",
    "select": "{{ [1, 0, 2] | select | list }} {{ [1, 2, 3] | select('odd') | list }} {{ [1, 2, 3] | reject('gt', 1) | list }} {{ m | selectattr('n') | list }} "
              "{{ m | selectattr('role', 'equalto', 'a') | list }} {{ m | rejectattr('n', 'defined') | map(attribute='role') | list }} {{ none | select | list }}",
    "map": "{{ l | map('upper') | join }} {{ m | map(attribute='role') | list }} {{ m | map(attribute='n', default=0) | list }} {{ [['b', 'a']] | map('sort') | list }} "
           "{{ ['a-b'] | map('replace', '-', '+') | list }} {{ [deep] | map(attribute='a.b.0.c') | list }}",
    "dicts": "{{ d | dictsort }} {{ d | dictsort(reverse=true) }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ d | items | list }} "
             "{{ d | list }} {{ d | length }} {{ d.keys() | list }} {{ d.values() | list }} {{ dict(a=1, b='x') }} {{ missing | items | list }}",
    "tojson": "{{ d | tojson }} {{ q | tojson }} {{ u | tojson }} {{ u | tojson(ensure_ascii=true) }} {{ '😀' | tojson(ensure_ascii=true) }} {{ [1.0, 1e20, 1e-9, big, true, none] | tojson }} "
              "{{ '<a href=\"x\">&\\'' | tojson }} {{ {1: 2, none: 3, true: 4} | tojson }} {{ (1, 2) | tojson }} {{ [] | tojson }}{{ {} | tojson }}",
    "tojson layout": "{{ d | tojson(indent=2) }}\n{{ [] | tojson(indent=2) }}{{ [[1], {}] | tojson(indent=1) }}{{ {'b': 1, 'a': [1, 2]} | tojson(sort_keys=true, separators=(',', ':')) }}"
                     "{{ [1, {'a': 2}] | tojson(indent=0) }}",
    "int": "{{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ '3.9' | int }} {{ ' 5 ' | int }} {{ true | int }} {{ none | int(1) }} {{ 'ff' | int(0, 16) }} {{ '1.5' | float }} {{ 2 | float }} {{ -3 | abs }}",
    "from_json": "{{ ('{\"a\": [1, 2.5, null]}' | from_json).a }} {{ '\"x\"' | from_json }}",
    "repr": "{{ [q] }} {{ ['\\'', '\"', 'a\\nb'] }} {{ {'k': none, 2: (1,), 'e': []} }} {{ [1.0, true, none] }} {{ ['é', '\\u200b', '\\xa0', '\\u2028'] }} {{ () }} {{ range(3) }} {{ range(1, 9, 2) }}",
    "strings": "{{ s.split(', ') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a\\nb\\r\\nc\\n'.splitlines() }} {{ ' x '.strip() }}|{{ 'xax'.strip('x') }} "
               "{{ ' x'.lstrip() }} {{ 'x '.rstrip() }}| {{ s.startswith('He') }} {{ s.endswith(('x', 'ld')) }} {{ s.replace('l', 'L', 1) }} {{ 'aXb'.lower() }} {{ 'ab'.upper() }} "
               "{{ 'they\\'re here'.title() }} {{ 'ABC'.capitalize() }} {{ s.find('World') }} {{ s.find('zz') }} {{ 'banana'.count('an') }} {{ '-'.join(['a', 'b']) }} {{ ''.split('x') }} {{ ''.split() }}",
    "format": "{{ '{} and {}'.format('a', 1) }} {{ '{1}{0}{1}'.format('a', 'b') }} {{ '{x}{{}}'.format(x=2.0) }}",
    "lists": "{% set x = [] %}{% for i in range(6) %}{% set _ = x.append(i) %}{% endfor %}{{ x }}{{ x.pop() }}{{ x.pop(0) }}{{ x }}{% set y = x[:2] %}{% set _ = x.pop() %}"
             "{% set _ = x.append('new') %}{{ y }}{{ x }}{% set _ = x.insert(1, 'i') %}{{ x }}{{ x.index('i') }}{{ x.count(2) }}{% set _ = x.extend([7, 8]) %}{{ x }}",
    "update": "{% set x = {'a': 1} %}{% set _ = x.update({'b': 2}) %}{{ x }}{{ x.update(c=3) }}{{ x }}",
    "large dict": "{% set x = {} %}{% for i in range(40) %}{% set _ = x.update({'k' ~ i: i}) %}{% endfor %}{{ x.k0 }} {{ x.k39 }} {{ x.k40 }}| {{ x | length }}",
    "date": "{{ strftime_now('%Y-%m-%d %d %b %Y %B %A %a %H:%M:%S %I %p %j %y %%') }}",
    "safe": "{{ '<b>'|safe + '<i> & \\'q\\'' }} {{ '<' + 'x'|safe + '\"' }} {{ '<' ~ 'x'|safe ~ '<' }} {{ ('<'|safe ~ '') + '<' }} {{ '<' + '>' }} {{ '<'|safe + ''|safe + '<' }}",
    "title": "{{ 'ßa ﬁx'|title }} {{ 'ßa'.title() }} {{ 'ßa'|capitalize }}",
    "floor": "{{ 100 // 0.1 }} {{ 1 // 0.1 }} {{ -1 // 0.1 }} {{ 1 // -0.1 }} {{ 7.5 // 2.5 }} {{ -0.0 // 3 }} {{ 0.0 // -3 }} {{ 1e300 // 3 }} {{ 5 // 1e-3 }}",
    "range text": "{{ range(0, 9, 2) }} {{ range(5)[::2] }} {{ range(9)[2:7:2] }} {{ range(5)[::-1] }} {{ range(4, -2, -4) }} {{ range(5)[4:1] }} {{ range(0, 9, 2) == range(0, 10, 2) }}",
    "unique undefined": "{{ [1, missing, 2, gone, 1] | unique | list | length }}",
    "date codes": "{{ strftime_now('%F %T %R %-d.%-m.%Y %e|%-e %-j %-I %') }}",
    "generation": "{% for i in [1] %}{% generation %}said{{ i }}{% endgeneration %}{% endfor %}",
    "undefined prints": "[{{ missing }}][{{ d.missing }}][{{ missing | length }}][{{ missing | list }}]{% for x in missing %}x{% endfor %}{{ missing or 'or' }}{{ not missing }}",
    "range": "{{ range(3) | list }} {{ range(1, 4) | list }} {{ range(5, 0, -2) | list }} {{ range(3, 1) | list }} {{ range(4) | length }} {{ 3 in range(0, 9, 3) }}",
}
FAILURES = {
    "raise": "a\n{{ raise_exception('No way: ' ~ s) }}", "undefined attribute": "\n\n{{ missing.x }}",
    "undefined sum": "{{ missing + 1 }}", "str + int": "{{ 'a' + 1 }}", "call": "{{ s() }}", "call undefined": "{{ nothing() }}",
    "iterate": "{% for x in 3 %}{% endfor %}", "compare": "{{ 1 < 'a' }}", "in none": "{{ 'a' in none }}", "in str": "{{ 1 in 'a' }}",
    "length": "{{ 3 | length }}", "zero": "{{ 1 / 0 }}", "zero mod": "{{ 1 % 0 }}", "unpack": "{% for a, c in [(1, 2, 3)] %}{% endfor %}",
    "filter": "{{ s | nosuch }}", "test": "{{ s is nosuch }}", "key": "{{ {[1]: 2} }}", "json": "{{ missing | tojson }}", "items": "{{ l | items | list }}",
    "indent undefined": "{{ missing | indent }}", "indent number": "{{ 3 | indent }}", "get key": "{{ d.get([1]) }}",
    "arguments": "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "keyword": "{% macro f(a) %}{% endmacro %}{{ f(z=2) }}", "pop": "{{ [].pop() }}",
    "split": "{{ s.split('') }}", "not a namespace": "{% set x = {} %}{% set x.a = 1 %}", "slice": "{{ l[::0] }}", "sort": "{{ [1, 'a'] | sort }}",
    "open if": "{% if true %}", "open tag": "{{ s", "open string": "{{ 'a }}", "open comment": "a {# b", "open raw": "{% raw %} a", "end": "{% endif %}", "stray": "{{ a b }}",
    "unknown tag": "{% nosuch %}", "no expression": "{{ }}", "bad byte": "{{ a ? b }}", "break outside": "{% break %}", "brackets": "{{ (1 }}", "positional": "{{ f(a=1, 2) }}",
    "else twice": "{% if a %}{% else %}{% else %}{% endif %}", "not a target": "{% set 1 = 2 %}", "for without in": "{% for x %}{% endfor %}",
}


def main():
    cases = [{"name": name, "template": source, "text": templates_agree.expected(source, VALUES)}
             for name, source in {**TEMPLATES, **FAILURES}.items()]
    for case in cases:
        assert case["text"][0] == (case["template"] in TEMPLATES.values()), (case["name"], case["text"])
    kept = 0
    for source, variables in templates_agree.fuzz_cases(400):
        worked, text = templates_agree.expected(source, variables)
        if worked and templates_agree.shown_differently(text):
            continue
        kept += 1
        cases.append({"name": f"fuzz {kept}", "template": source, "text": (worked, text)})
    for case in cases:
        worked, text = case["text"]
        case["text"] = text if worked else None
    lines = [json.dumps(case, separators=(",", ":")) for case in cases]
    variables = {"values": json.dumps(VALUES), "fuzz": json.dumps(templates_agree.VALUES)}
    OUT.write_text('{"variables":' + json.dumps(variables) + ',\n"cases":[\n' + ",\n".join(lines) +
                   "\n]}\n", encoding="ascii")


if __name__ == "__main__":
    main()
