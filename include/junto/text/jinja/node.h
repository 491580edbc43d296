// Node: a template as a tree.
#ifndef JUNTO_TEXT_JINJA_NODE_H_
#define JUNTO_TEXT_JINJA_NODE_H_

#include <cstdint>
#include <string_view>

#include "junto/text/jinja/value.h"

namespace junto {
namespace jinja {

enum class NodeKind : uint8_t {
  // Expressions
  kLiteral,      // value
  kName,         // name
  kAttribute,    // a.name
  kItem,         // a[b]
  kSlice,        // a[b:c:d], each of which may be missing
  kCall,         // a(list)
  kFilter,       // a | name(list)
  kTest,         // a is name(list)
  kNot,          // a
  kNegative,     // a
  kPositive,     // a
  kAnd,          // a, b
  kOr,           // a, b
  kBinary,       // a op b
  kCompare,      // a, then list of kOperand
  kOperand,      // op a
  kConcat,       // list
  kConditional,  // a if b else c, which may be missing
  kList,         // list
  kTuple,        // list
  kDict,         // list of kPair
  kPair,         // a: b
  kKeyword,      // name=a, in the list of a call

  // Statements
  kText,          // value
  kOutput,        // a
  kIf,            // list of kBranch
  kBranch,        // if a, which is missing in `else`: list
  kFor,           // for a in b if c: list; d, a kBranch, is `else`
  kSet,           // a = b
  kSetBlock,      // a = list, through filter b, whose innermost subject is missing
  kSetAttribute,  // as target of kSet: name.c, c a literal
  kMacro,         // name(b: linked kKeyword, whose a may be missing): list
  kFilterBlock,   // list through filter a
  kBreak,
  kContinue,
};

enum class Operator : uint8_t {
  kNone,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Node {
  NodeKind kind;
  Operator op = Operator::kNone;
  uint32_t line = 0;
  std::string_view name;
  Value value;
  Node* a = nullptr;
  Node* b = nullptr;
  Node* c = nullptr;
  Node* d = nullptr;
  Node* list = nullptr;  // the first one
  Node* next = nullptr;  // in the list it is in
};

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_NODE_H_
