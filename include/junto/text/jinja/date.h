// Dates as strftime writes them.
#ifndef JUNTO_TEXT_JINJA_DATE_H_
#define JUNTO_TEXT_JINJA_DATE_H_

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <string_view>

#include "junto/text/jinja/text.h"

namespace junto {
namespace jinja {

// A day of the Gregorian calendar and a time of it.
struct Date {
  int year = 0;
  int month = 0;  // 1 to 12
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;

  // Sunday is 0.
  int weekday() const {
    static constexpr int kShift[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
    const int y = month < 3 ? year - 1 : year;
    return (y + y / 4 - y / 100 + y / 400 + kShift[month - 1] + day) % 7;
  }
  int day_of_year() const {  // from 1
    static constexpr int kBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    return kBefore[month - 1] + day + (month > 2 && leap() ? 1 : 0);
  }
  bool leap() const { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }
};

// Reads "2026-01-31" or "2026-01-31 08:15:00"; false when it is neither.
inline bool ReadDate(std::string_view text, Date* out) {
  static constexpr std::string_view kShape = "0000-00-00 00:00:00";
  if (text.size() != kShape.size() && text.size() != 10) return false;
  int numbers[6] = {};
  int* number = numbers;
  for (size_t i = 0; i < text.size(); ++i) {
    if (kShape[i] != '0') {
      if (text[i] != kShape[i]) return false;
      ++number;
    } else {
      if (text[i] < '0' || text[i] > '9') return false;
      *number = *number * 10 + (text[i] - '0');
    }
  }
  static constexpr int kDays[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  *out = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]};
  if (out->month < 1 || out->month > 12 || out->day < 1 || out->day > kDays[out->month - 1]) {
    return false;
  }
  if (out->month == 2 && out->day == 29 && !out->leap()) return false;
  return out->hour < 24 && out->minute < 60 && out->second < 60;
}

// What a code of strftime's means: a number in that layout, a word, or other codes.
struct DateCode {
  char code;
  const char* layout;
  int (*number)(const Date& date);
  std::string_view (*word)(const Date& date);
  std::string_view codes;

  static constexpr DateCode Number(char c, const char* layout, int (*number)(const Date&)) {
    return {c, layout, number, nullptr, {}};
  }
  static constexpr DateCode Word(char c, std::string_view (*word)(const Date&)) {
    return {c, nullptr, nullptr, word, {}};
  }
  static constexpr DateCode Codes(char c, std::string_view codes) {
    return {c, nullptr, nullptr, nullptr, codes};
  }
};

inline std::string_view WeekdayName(const Date& date) {
  static constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};
  return kDays[date.weekday()];
}
inline std::string_view MonthName(const Date& date) {
  static constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                                 "May",       "June",     "July",     "August",
                                                 "September", "October",  "November", "December"};
  return kMonths[date.month - 1];
}

constexpr DateCode kDateCodes[] = {
    DateCode::Number('Y', "%04d", [](const Date& date) { return date.year; }),
    DateCode::Number('y', "%02d", [](const Date& date) { return date.year % 100; }),
    DateCode::Number('m', "%02d", [](const Date& date) { return date.month; }),
    DateCode::Number('d', "%02d", [](const Date& date) { return date.day; }),
    DateCode::Number('e', "%2d", [](const Date& date) { return date.day; }),
    DateCode::Number('j', "%03d", [](const Date& date) { return date.day_of_year(); }),
    DateCode::Number('H', "%02d", [](const Date& date) { return date.hour; }),
    DateCode::Number('I', "%02d", [](const Date& date) { return (date.hour + 11) % 12 + 1; }),
    DateCode::Number('M', "%02d", [](const Date& date) { return date.minute; }),
    DateCode::Number('S', "%02d", [](const Date& date) { return date.second; }),
    DateCode::Word('p',
                   [](const Date& date) { return std::string_view(date.hour < 12 ? "AM" : "PM"); }),
    DateCode::Word('A', WeekdayName),
    DateCode::Word('a', [](const Date& date) { return WeekdayName(date).substr(0, 3); }),
    DateCode::Word('B', MonthName),
    DateCode::Word('b', [](const Date& date) { return MonthName(date).substr(0, 3); }),
    DateCode::Word('%', [](const Date&) { return std::string_view("%"); }),
    DateCode::Codes('F', "%Y-%m-%d"),
    DateCode::Codes('T', "%H:%M:%S"),
    DateCode::Codes('R', "%H:%M"),
};

inline void AddDateCode(const DateCode& code, bool bare, const Date& date, TextBuilder* out) {
  if (code.number != nullptr) {
    char buffer[16];
    const int size =
        std::snprintf(buffer, sizeof(buffer), bare ? "%d" : code.layout, code.number(date));
    out->Add({buffer, static_cast<size_t>(size)}, true);
  } else if (code.word != nullptr) {
    out->Add(code.word(date), true);
  }
}

// "%-d" is "%d" without padding. Fails at a code that is not known.
inline Text FormatDate(Workspace* work, const Text& format, const Date& date) {
  TextBuilder out(work);
  for (size_t i = 0; i < format.view.size() && work->Step(); ++i) {
    if (format.view[i] != '%' || i + 1 == format.view.size()) {
      out.Add(format, i, i + 1);
      continue;
    }
    const bool bare = i + 2 < format.view.size() && format.view[i + 1] == '-';
    i += bare ? 2 : 1;
    const auto* code =
        std::find_if(std::begin(kDateCodes), std::end(kDateCodes),
                     [&](const DateCode& one) { return one.code == format.view[i]; });
    if (code == std::end(kDateCodes)) {
      work->Fail("strftime_now: '%%%c' at byte %zu is not known", format.view[i], i - 1);
    } else if (!code->codes.empty()) {
      out.Add(FormatDate(work, {code->codes, true, {}}, date));
    } else {
      AddDateCode(*code, bare, date, &out);
    }
  }
  return out.Finish();
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_DATE_H_
