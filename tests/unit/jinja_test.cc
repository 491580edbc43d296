// Templates: what jinja2 makes of them, what strangers try with them, and whose bytes are whose.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "junto/text/jinja/template.h"
#include "tests/support/faults.h"
#include "tests/support/text_vocabulary.h"

namespace junto {
namespace {

using Catch::Matchers::Contains;

struct Fixture {
  // Renders over variables given as JSON.
  Status Render(const std::string& source, const std::string& variables, SegmentList* out,
                const jinja::Limits& limits = {}) {
    Owned<jinja::Template> read;
    JUNTO_TRY(jinja::Template::Read(source, &memory, &read));
    jinja::Workspace work(&memory, limits);
    jinja::Value globals;
    JUNTO_TRY(jinja::JsonValues(&work, variables).Read(&globals));
    jinja::Date date;
    REQUIRE(jinja::ReadDate("2026-01-31", &date));
    return read->Render(&work, globals, &date, out);
  }
  Status Render(const std::string& source, const std::string& variables, std::string* out) {
    SegmentList list(&memory);
    const Status status = Render(source, variables, &list);
    out->assign(list.text());
    return status;
  }

  test::CountingAllocator allocator;
  Memory memory{&allocator, 0};
};

TEST_CASE("templates give what jinja2 gives, and fail where it fails") {
  Fixture fixture;
  const nlohmann::json& data = test::TextData("jinja.json");
  size_t failed = 0;
  for (const auto& item : data["cases"]) {
    const std::string name = item["name"];
    const std::string variables = data["variables"][name.find("fuzz") == 0 ? "fuzz" : "values"];
    std::string text;
    const Status status = fixture.Render(item["template"], variables, &text);
    INFO(name << ": " << item["template"] << "\n" << status.message());
    if (item["text"].is_null()) {
      CHECK(status.code() == Code::kInvalid);
      CHECK_THAT(status.message(), Contains("chat template line "));
      CHECK(text.empty());
      ++failed;
    } else {
      CHECK(status.ok());
      CHECK(text == item["text"].get<std::string>());
    }
  }
  CHECK(failed > 30);
}

TEST_CASE("failures say what and where") {
  Fixture fixture;
  const auto message = [&](const char* source) {
    std::string text;
    return std::string(fixture.Render(source, "{\"s\": \"a\"}", &text).message());
  };
  CHECK(message("\n\n{{ raise_exception('No ' ~ s) }}") == "chat template line 3: No a");
  CHECK(message("a\n{{ x.y }}") == "chat template line 2: 'x' is undefined");
  CHECK(message("{{ s | nosuch }}") == "chat template line 1: No filter named 'nosuch', of 34");
  CHECK_THAT(message("{% include 'x' %}"), Contains("line 1: if, for, set"));
  CHECK_THAT(message("{{ s.nosuch() }}"), Contains("'nosuch' is undefined"));
  CHECK_THAT(message("{{ '%s' % 1 }}"), Contains("unsupported operand"));
  CHECK_THAT(message("{{ 9223372036854775807 + 1 }}"), Contains("exceeds 64 bits"));
  CHECK_THAT(message("{{ s\n"), Contains("a tag does not end"));
  CHECK_THAT(message("\xFF"), Contains("byte 0 is not UTF-8"));
  CHECK_THAT(message("{{ '\\ud800' }}"), Contains("hexadecimal"));
  CHECK_THAT(message(std::string(300000, 'x').c_str()), Contains("300000 bytes"));
}

TEST_CASE("numbers of JSON stay as they were written") {
  Fixture fixture;
  std::string text;
  REQUIRE(fixture
              .Render("{{ x }} {{ x | tojson }} {{ x[0] + 1 }}",
                      "{\"x\": [1.50, 1e5, 123456789012345678901234567890, -0.0]}", &text)
              .ok());
  CHECK(text ==
        "[1.50, 1e5, 123456789012345678901234567890, -0.0] "
        "[1.50, 1e5, 123456789012345678901234567890, -0.0] 2.5");
}

TEST_CASE("bytes are trusted only where the template wrote them") {
  Fixture fixture;
  // U stands for what a user said; in the marks below it is untrusted, everything else is not.
  const auto marks = [&](const char* source) {
    SegmentList out(&fixture.memory);
    const Status status = fixture.Render(
        source, "{\"u\": \"UUU\", \"l\": [\"U\", \"UU\"], \"d\": {\"U\": \"U\"}}", &out);
    INFO(source << status.message());
    REQUIRE(status.ok());
    std::string shown;
    size_t begin = 0;
    for (const Segment& segment : out.segments()) {
      const std::string run(out.text().substr(begin, segment.end - begin));
      shown += segment.trusted ? run : "<" + run + ">";
      begin = segment.end;
    }
    return shown;
  };
  CHECK(marks("a{{ u }}b") == "a<UUU>b");
  CHECK(marks("{{ 'x' + u + 'y' }}") == "x<UUU>y");
  CHECK(marks("{{ 'x' ~ u ~ 1 }}") == "x<UUU>1");
  CHECK(marks("{{ ('ab' + u + 'cd')[1:-1] }}") == "b<UUU>c");
  CHECK(marks("{{ ('ab' + u)[::-1] }}") == "<UUU>ba");
  CHECK(marks("{{ ('ab' + u)[2] }}{{ ('ab' + u)[0] }}") == "<U>a");
  CHECK(marks("{{ (' ' + u + ' ') | trim }}|") == "<UUU>|");
  CHECK(marks("{{ u | replace('U', 'x') }}") == "xxx");
  CHECK(marks("{{ 'a-b' | replace('-', u) }}") == "a<UUU>b");
  CHECK(marks("{{ l | join(', ') }}") == "<U>, <UU>");
  CHECK(marks("{{ ('x,' + u).split(',') | join('+') }}") == "x+<UUU>");
  CHECK(marks("{{ ('x' + u) | upper }}{{ ('x' + u) | lower }}") == "X<UUU>x<uuu>");
  CHECK(marks("{{ u | tojson }}") == "<\"UUU\">");
  CHECK(marks("{{ {'k': u, 'x': 'y'} | tojson }}") == "<{\">k<\": \"UUU\", \">x<\": \">y<\"}>");
  CHECK(marks("{{ d }}") == "<{'U': 'U'}>");
  CHECK(marks("{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}") == "<U>=<U>");
  CHECK(marks("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(u) }}") == "[<UUU>]");
  CHECK(marks("{% set x %}a{{ u }}{% endset %}{{ x }}{{ x | length }}") == "a<UUU>4");
  CHECK(marks("{% filter indent(1, true) %}a\n{{ u }}{% endfilter %}") == " a\n <UUU>");
  CHECK(marks("{{ '{}:{}'.format('a', u) }}") == "a:<UUU>");
  CHECK(marks("{{ u * 2 ~ 'x' * 2 }}") == "<UUUUUU>xx");
  CHECK(marks("{{ ('\"' ~ u ~ '\"') | from_json }}") == "<UUU>");
  CHECK(marks("{{ true }}{{ none }}{{ l | first }}{{ u | list | last }}") == "TrueNone<UU>");
}

TEST_CASE("templates of strangers end") {
  Fixture fixture;
  const std::string deep(5000, '(');
  std::string blocks;
  for (int i = 0; i < 3000; ++i) blocks += "{% if 1 %}";
  std::string sum = "{{ 1";
  for (int i = 0; i < 20000; ++i) sum += " + 1";
  std::string filters = "{% filter e";
  for (int i = 0; i < 60000; ++i) filters += "|e";
  const std::string sources[] = {
      "{% for i in range(1000000000) %}x{% endfor %}",
      "{% for i in range(1000000000000) %}x{% endfor %}",
      "{% for i in range(30000) %}{% for j in range(30000) %}{% endfor %}{% endfor %}",
      "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
      "{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f(x) }}{{ f(x) }}{% endmacro "
      "%}{{ f(1) }}",
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% "
      "endfor %}",
      "{% set ns = namespace(s=['x']) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% "
      "endfor %}",
      "{{ 'x' * 1000000000000 }}",
      "{{ [1] * 1000000000000 }}",
      "{{ 10 ** 1000000000 }}",
      "{{ 1 ** 1000000000000 }}",
      "{{ 'x' | indent(1000000000000) }}",
      "{% for i in range(100000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 1000 }}{% "
      "endfor %}",
      "{% set x = [] %}{% set _ = x.append(x) %}{{ x }}",
      "{% set x = [] %}{% set _ = x.append(x) %}{{ x | tojson }}",
      "{% set x = [] %}{% set _ = x.append(x) %}{{ x == [x] }}{{ x < [x] }}",
      "{% set x = [] %}{% set _ = x.append(x) %}{% for i in range(99) %}{% set _ = x.extend(x) "
      "%}{% endfor %}",
      "{% set x = {} %}{% set _ = x.update({'x': x}) %}{{ x }}",
      "{{ [1, 2, 3] | map('map', 'map') | list | tojson }}",
      "{% set s = 'a' * 100000 %}{% for i in range(100000) %}{{ s.split('a') | length }}{% endfor "
      "%}",
      "{% set s = 'ab' * 100000 %}{% for i in range(100000) %}{% if 'bb' in s %}{% endif %}{% "
      "endfor %}",
      "{% set s = 'ab' * 100000 %}{% for i in range(100000) %}{{ s[99999] }}{{ s | length }}{% "
      "endfor %}",
      "{% set l = range(100000) | list %}{% for i in l %}{% if -1 in l %}{% endif %}{% endfor %}",
      "{% set l = range(100000) | list %}{% for i in l %}{{ l | sort | first }}{% endfor %}",
      "{% for i in range(9999) %}{% set x = i %}{% macro m() %}{{ m2() }}{% endmacro %}{% endfor "
      "%}{{ 'x' * 99999999 }}",
      "{{ " + deep,
      "{{ " + std::string(5000, '[') + " }}",
      "{{ " + std::string(5000, '-') + "1 }}",
      "{{ " + std::string(5000, '{') + " }}",
      "{% set s = 'a' * 1000 * 1000 %}{% set d = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, "
      "9: 9, 10: 10} %}{% for i in range(2000) %}{% if s in d %}{% endif %}{% endfor %}",
      "{% set s = 'a' * 1000 * 6000 %}{% for i in range(1000) %}{{ s.count('') }}{% endfor %}",
      "{% set s = ' ' * 1000 * 6000 %}{% for i in range(200) %}{{ s | int }}{% endfor %}",
      "{% set s = ' ' * 1000 * 6000 %}{% for i in range(200) %}{{ s | float }}{% endfor %}",
      filters + "%}x{% endfilter %}",
      blocks,
      sum + " }}",
      "{{ " + std::string(200000, '~') + " }}",
      std::string(200000, '{'),
      "{% set " + deep,
      "{{ x" + std::string(100000, '.') + " }}"};
  for (const std::string& source : sources) {
    SegmentList out(&fixture.memory);
    const Status status = fixture.Render(source, "{}", &out);
    INFO(source.substr(0, 100) << "\n" << status.message());
    CHECK(status.code() == Code::kInvalid);
    CHECK(std::string(status.message()).find('\n') == std::string::npos);
    CHECK(out.text().empty());
  }
  // What is only long is no crime.
  std::string text;
  CHECK(fixture.Render("{% for i in range(9000) %}{{ i }}{% endfor %}", "{}", &text).ok());
  std::string chain = "{{ 1";
  for (int i = 0; i < 300; ++i) chain += " ~ 1";
  CHECK(fixture.Render(chain + " }}", "{}", &text).ok());
  CHECK(fixture.allocator.mistakes() == 0);
}

TEST_CASE("limits are kept where they are set") {
  Fixture fixture;
  SegmentList out(&fixture.memory);
  jinja::Limits limits;
  limits.steps = 50;
  const char* const kLoop = "{% for i in range(30) %}{{ i }}{% endfor %}";
  CHECK_THAT(fixture.Render(kLoop, "{}", &out, limits).message(), Contains("more than 50 steps"));
  limits = {};
  limits.bytes = 4000;
  CHECK_THAT(fixture.Render("{{ 'x' * 3000 }}", "{}", &out, limits).message(),
             Contains("more than 4000 bytes"));
  limits = {};
  limits.depth = 5;
  CHECK_THAT(fixture.Render("{{ ((((1 + 1) + 1) + 1) + 1) + 1 }}", "{}", &out, limits).message(),
             Contains("nested deeper than 5"));
}

TEST_CASE("memory that is refused anywhere is an exception and no leak") {
  Fixture fixture;
  const std::string source =
      "{% macro m(x) %}{{ x | tojson(indent=2) }}{% endmacro %}{% for k, v in d | dictsort %}"
      "{{ m([k, v]) | upper | replace('A', 'b') }}{{ k.split('x') }}{% endfor %}{{ 'x' * 20000 }}";
  const std::string variables = "{\"d\": {\"b\": [1, 2.5], \"a\": {\"x\": null}}}";
  for (uint64_t n = 0;; ++n) {
    SegmentList out(&fixture.memory);
    fixture.allocator.FailAt(n);
    bool refused = false;
    try {
      const Status status = fixture.Render(source, variables, &out);
      CHECK(status.ok());
    } catch (const OutOfMemory&) {
      refused = true;
    }
    const bool done = fixture.allocator.calls() <= n;
    fixture.allocator.FailAt(test::kNever);
    REQUIRE(refused != done);
    if (done) break;
  }
  CHECK(fixture.allocator.mistakes() == 0);
}

TEST_CASE("dates") {
  jinja::Date date;
  for (const char* good : {"2024-02-29", "2026-12-31", "2026-01-31 23:59:59"}) {
    CHECK(jinja::ReadDate(good, &date));
  }
  for (const char* bad :
       {"", "2026-02-29", "2026-13-01", "2026-00-01", "2026-04-31", "2026-01-00",
        "2026-01-31 24:00:00", "2026-1-31", "2026-01-31T10:00:00", "2100-02-29"}) {
    CHECK_FALSE(jinja::ReadDate(bad, &date));
  }
}

}  // namespace
}  // namespace junto
