// Dates as strftime writes them.
#ifndef JUNTO_TEXT_JINJA_DATE_H_
#define JUNTO_TEXT_JINJA_DATE_H_

#include <cstddef>
#include <cstdio>
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

// Fails at a code that is not known.
inline Text FormatDate(Workspace* work, const Text& format, const Date& date) {
  static constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};
  static constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                                 "May",       "June",     "July",     "August",
                                                 "September", "October",  "November", "December"};
  TextBuilder out(work);
  const auto number = [&out](const char* layout, int value) {
    char buffer[16];
    const int size = std::snprintf(buffer, sizeof(buffer), layout, value);
    out.Add({buffer, static_cast<size_t>(size)}, true);
  };
  const auto day = static_cast<size_t>(date.weekday());
  const auto month = static_cast<size_t>(date.month - 1);
  const int hour = date.hour % 12 == 0 ? 12 : date.hour % 12;
  for (size_t i = 0; i < format.view.size() && work->Step(); ++i) {
    char c = format.view[i];
    const bool bare = i + 2 < format.view.size() && format.view.substr(i, 2) == "%-";
    if (c != '%' || i + 1 == format.view.size()) {
      out.Add(format, i, i + 1);
      continue;
    }
    i += bare ? 2 : 1;
    c = format.view[i];
    const char* two = bare ? "%d" : "%02d";
    switch (c) {
      case 'Y':
        number("%04d", date.year);
        break;
      case 'y':
        number(two, date.year % 100);
        break;
      case 'm':
        number(two, date.month);
        break;
      case 'd':
        number(two, date.day);
        break;
      case 'e':
        number("%2d", date.day);
        break;
      case 'j':
        number(bare ? "%d" : "%03d", date.day_of_year());
        break;
      case 'H':
        number(two, date.hour);
        break;
      case 'I':
        number(two, hour);
        break;
      case 'M':
        number(two, date.minute);
        break;
      case 'S':
        number(two, date.second);
        break;
      case 'p':
        out.Add(date.hour < 12 ? std::string_view("AM") : std::string_view("PM"), true);
        break;
      case 'A':
      case 'a':
        out.Add(kDays[day].substr(0, c == 'a' ? 3 : kDays[day].size()), true);
        break;
      case 'B':
      case 'b':
        out.Add(kMonths[month].substr(0, c == 'b' ? 3 : kMonths[month].size()), true);
        break;
      case '%':
        out.Add(std::string_view("%"), true);
        break;
      default:
        work->Fail("strftime_now: '%%%c' at byte %zu is not known", c, i - 1);
    }
  }
  return out.Finish();
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_DATE_H_
