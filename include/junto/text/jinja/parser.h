// Parser: a template's tokens as a tree.
#ifndef JUNTO_TEXT_JINJA_PARSER_H_
#define JUNTO_TEXT_JINJA_PARSER_H_

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "junto/text/jinja/lexer.h"
#include "junto/text/jinja/node.h"
#include "junto/text/jinja/workspace.h"

namespace junto {
namespace jinja {

// Recursive descent with Jinja's precedences. Nodes live in the workspace, which also has the
// failure; a node is never missing where the grammar has one, whatever failed. Throws OutOfMemory.
class Parser {
 public:
  Parser(Workspace* work, Span<const Token> tokens) : work_(work), tokens_(tokens) {}

  // The first statement of the template, or nullptr.
  Node* Run() {
    Node* body = Statements({});
    if (!AtEnd()) Unexpected("a statement");
    return body;
  }

 private:
  // Appends to a list of nodes.
  struct Chain {
    Node* first = nullptr;
    Node* last = nullptr;
    void Add(Node* node) {
      (last == nullptr ? first : last->next) = node;
      last = node;
    }
  };
  using Words = std::initializer_list<std::string_view>;

  // ---- tokens
  const Token& Now() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  bool AtEnd() const { return Now().kind == TokenKind::kEnd; }
  void Next() {
    if (!AtEnd()) ++at_;
  }
  static bool Is(const Token& token, std::string_view text) {
    const bool word = token.kind == TokenKind::kName || token.kind == TokenKind::kOperator;
    return word && token.text == text;
  }
  bool Is(std::string_view text) const { return Is(Now(), text); }
  bool IsAny(Words words) const {
    for (const std::string_view word : words) {
      if (Is(word)) return true;
    }
    return false;
  }
  bool Take(std::string_view text) {
    if (!Is(text)) return false;
    Next();
    return true;
  }
  void Expect(std::string_view text) {
    if (!Take(text)) Unexpected(text);
  }
  void Expect(TokenKind kind, const char* what) {
    if (Now().kind == kind) return Next();
    Unexpected(what);
  }
  std::string_view ExpectName() {
    const std::string_view name = Now().text;
    Expect(TokenKind::kName, "a name");
    return name;
  }
  void Unexpected(std::string_view wanted) {
    const std::string_view found = Utf8Prefix(Now().text, 32);
    work_->line = Now().line;
    work_->Fail("%.*s expected, '%.*s' found", static_cast<int>(wanted.size()), wanted.data(),
                static_cast<int>(found.size()), found.data());
  }

  Node* Make(NodeKind kind, Node* a = nullptr, Node* b = nullptr, Node* c = nullptr) {
    Node* node = work_->New<Node>();
    node->kind = kind;
    node->line = Now().line;
    node->a = a;
    node->b = b;
    node->c = c;
    return node;
  }
  Node* MakeNamed(NodeKind kind, std::string_view name, Node* a = nullptr) {
    Node* node = Make(kind, a);
    node->name = name;
    return node;
  }
  Node* MakeLiteral(const Value& value) {
    Node* node = Make(NodeKind::kLiteral);
    node->value = value;
    return node;
  }

  // ---- statements
  // Up to a block that begins with one of `ends`, whose name is then the current token, or to the
  // end of the source.
  Node* Statements(Words ends) {
    const Level level(work_, kMaxNesting);
    Chain body;
    while (!AtEnd() && !work_->failed()) {
      const Token token = Now();
      if (token.kind == TokenKind::kText) {
        Node* text = Make(NodeKind::kText);
        text->value = MakeString(work_, token.text, true);
        body.Add(text);
        Next();
      } else if (token.kind == TokenKind::kOutputBegin) {
        Next();
        body.Add(Make(NodeKind::kOutput, TupleOrOne()));
        Expect(TokenKind::kOutputEnd, "'}}'");
      } else {
        Expect(TokenKind::kBlockBegin, "a tag");
        if (IsAny(ends)) return body.first;
        if (Node* statement = Statement()) body.Add(statement);
        Expect(TokenKind::kBlockEnd, "'%}'");
      }
    }
    if (ends.size() != 0) Unexpected(*ends.begin());
    return body.first;
  }

  Node* Statement() {
    if (Take("if")) return If();
    if (Take("for")) return For();
    if (Take("set")) return Set();
    if (Take("macro")) return Macro();
    if (Take("filter")) return FilterBlock();
    if (Take("break")) return Loops(NodeKind::kBreak);
    if (Take("continue")) return Loops(NodeKind::kContinue);
    if (Take("generation")) {  // marks what the assistant said; it is text like any other
      Expect(TokenKind::kBlockEnd, "'%}'");
      Node* branch = Make(NodeKind::kBranch);
      branch->list = Statements({"endgeneration"});
      Next();
      Node* all = Make(NodeKind::kIf);
      all->list = branch;
      return all;
    }
    Unexpected("if, for, set, macro, filter, break or continue");
    return nullptr;
  }

  Node* If() {
    Node* node = Make(NodeKind::kIf);
    Chain branches;
    bool otherwise = false;
    for (bool more = true; more && !work_->failed();) {
      Node* branch = Make(NodeKind::kBranch, otherwise ? nullptr : TupleOrOne(false));
      Expect(TokenKind::kBlockEnd, "'%}'");
      branch->list = otherwise ? Statements({"endif"}) : Statements({"endif", "elif", "else"});
      branches.Add(branch);
      more = !Is("endif");
      otherwise = Is("else");
      Next();
    }
    node->list = branches.first;
    return node;
  }

  Node* For() {
    Node* node = Make(NodeKind::kFor);
    node->a = Target(false);
    Expect("in");
    node->b = TupleOrOne(false);
    if (Take("if")) node->c = Expression();
    if (Is("recursive")) Unexpected("a loop that is not recursive");
    Expect(TokenKind::kBlockEnd, "'%}'");
    ++loops_;
    node->list = Statements({"endfor", "else"});
    --loops_;
    if (Take("else")) {
      Expect(TokenKind::kBlockEnd, "'%}'");
      node->d = Make(NodeKind::kBranch);
      node->d->list = Statements({"endfor"});
    }
    Next();
    return node;
  }
  Node* Loops(NodeKind kind) {
    if (loops_ == 0) Unexpected("break and continue inside a loop only");
    return Make(kind);
  }

  Node* Set() {
    Node* target = Target(true);
    if (Take("=")) return Make(NodeKind::kSet, target, TupleOrOne());
    Node* node = Make(NodeKind::kSetBlock, target);
    if (Is("|")) node->b = Filters(nullptr);
    Expect(TokenKind::kBlockEnd, "'%}'");
    node->list = Statements({"endset"});
    Next();
    return node;
  }

  // What can be assigned to: names, tuples of targets, attributes of a namespace.
  Node* Target(bool attributes) {
    Node* first = OneTarget(attributes);
    if (!Is(",")) return first;
    Chain list;
    list.Add(first);
    while (Take(",") && Now().kind != TokenKind::kBlockEnd && !IsAny({"in", "=", ")"})) {
      list.Add(OneTarget(attributes));
    }
    Node* tuple = Make(NodeKind::kTuple);
    tuple->list = list.first;
    return tuple;
  }
  Node* OneTarget(bool attributes) {
    const Level level(work_, kMaxNesting);
    if (work_->failed()) return Make(NodeKind::kName);
    if (Take("(")) {
      Node* inner = Target(attributes);
      Expect(")");
      return inner;
    }
    const std::string_view name = ExpectName();
    if (!attributes || !Take(".")) return MakeNamed(NodeKind::kName, name);
    Node* node = MakeNamed(NodeKind::kSetAttribute, name);
    node->c = MakeLiteral(MakeString(work_, ExpectName(), true));
    return node;
  }

  Node* Macro() {
    Node* node = MakeNamed(NodeKind::kMacro, ExpectName());
    Expect("(");
    Chain parameters;
    while (!Is(")") && !work_->failed()) {
      if (parameters.first != nullptr) Expect(",");
      Node* parameter = MakeNamed(NodeKind::kKeyword, ExpectName());
      if (Take("=")) parameter->a = Expression();
      parameters.Add(parameter);
    }
    Expect(")");
    node->b = parameters.first;
    Expect(TokenKind::kBlockEnd, "'%}'");
    const uint32_t loops = loops_;
    loops_ = 0;
    node->list = Statements({"endmacro"});
    loops_ = loops;
    Next();
    return node;
  }

  Node* FilterBlock() {
    Node* node = Make(NodeKind::kFilterBlock);
    node->a = Filters(OneFilter(nullptr));
    Expect(TokenKind::kBlockEnd, "'%}'");
    node->list = Statements({"endfilter"});
    Next();
    return node;
  }

  // ---- expressions
  // One, or a tuple where commas follow.
  Node* TupleOrOne(bool conditional = true) {
    Node* first = conditional ? Expression() : Or();
    if (!Is(",")) return first;
    Chain list;
    list.Add(first);
    const auto ends = [this] {
      return Now().kind == TokenKind::kOutputEnd || Now().kind == TokenKind::kBlockEnd || Is(")");
    };
    while (Take(",") && !ends()) list.Add(conditional ? Expression() : Or());
    Node* tuple = Make(NodeKind::kTuple);
    tuple->list = list.first;
    return tuple;
  }

  Node* Expression() {
    const Level level(work_, kMaxNesting);
    if (work_->failed()) return Make(NodeKind::kLiteral);
    Node* node = Or();
    while (Take("if")) {
      Node* condition = Or();
      node = Make(NodeKind::kConditional, node, condition, Take("else") ? Expression() : nullptr);
    }
    return node;
  }
  Node* Or() {
    Node* node = And();
    while (Take("or")) node = Make(NodeKind::kOr, node, And());
    return node;
  }
  Node* And() {
    Node* node = Not();
    while (Take("and")) node = Make(NodeKind::kAnd, node, Not());
    return node;
  }
  Node* Not() {
    const Level level(work_, kMaxNesting);
    if (!work_->failed() && Take("not")) return Make(NodeKind::kNot, Not());
    return Compare();
  }

  Node* Compare() {
    Node* node = Sum();
    Chain operands;
    for (;;) {
      const Operator op = TakeComparison();
      if (op == Operator::kNone) break;
      Node* operand = Make(NodeKind::kOperand, Sum());
      operand->op = op;
      operands.Add(operand);
    }
    if (operands.first == nullptr) return node;
    Node* compare = Make(NodeKind::kCompare, node);
    compare->list = operands.first;
    return compare;
  }
  Operator TakeComparison() {
    static constexpr struct {
      std::string_view text;
      Operator op;
    } kComparisons[] = {{"==", Operator::kEqual},       {"!=", Operator::kNotEqual},
                        {"<", Operator::kLess},         {">", Operator::kGreater},
                        {"<=", Operator::kLessEqual},   {"in", Operator::kIn},
                        {">=", Operator::kGreaterEqual}};
    for (const auto& each : kComparisons) {
      if (Take(each.text)) return each.op;
    }
    if (!Is("not") || !Is(Ahead(), "in")) return Operator::kNone;
    Next();
    Next();
    return Operator::kNotIn;
  }

  Node* Binary(Operator op, Node* left, Node* right) {
    Node* node = Make(NodeKind::kBinary, left, right);
    node->op = op;
    return node;
  }
  Node* Sum() {
    Node* node = Concat();
    while (IsAny({"+", "-"})) {
      const Operator op = Is("+") ? Operator::kAdd : Operator::kSubtract;
      Next();
      node = Binary(op, node, Concat());
    }
    return node;
  }
  Node* Concat() {
    Node* first = Product();
    if (!Is("~")) return first;
    Chain list;
    list.Add(first);
    while (Take("~")) list.Add(Product());
    Node* node = Make(NodeKind::kConcat);
    node->list = list.first;
    return node;
  }
  Node* Product() {
    Node* node = Power();
    while (IsAny({"*", "/", "//", "%"})) {
      const Operator op = Is("*")    ? Operator::kMultiply
                          : Is("/")  ? Operator::kDivide
                          : Is("//") ? Operator::kFloorDivide
                                     : Operator::kModulo;
      Next();
      node = Binary(op, node, Power());
    }
    return node;
  }
  Node* Power() {
    Node* node = Unary(true);
    while (Take("**")) node = Binary(Operator::kPower, node, Unary(true));
    return node;
  }
  Node* Unary(bool filters) {
    const Level level(work_, kMaxNesting);
    Node* node = nullptr;
    if (work_->failed()) {
      node = Make(NodeKind::kLiteral);
    } else if (Take("-")) {
      node = Make(NodeKind::kNegative, Unary(false));
    } else if (Take("+")) {
      node = Make(NodeKind::kPositive, Unary(false));
    } else {
      node = Primary();
    }
    node = Postfix(node);
    return filters ? FiltersAndTests(node) : node;
  }

  Node* Primary() {
    const Token token = Now();
    switch (token.kind) {
      case TokenKind::kName:
        Next();
        return Named(token.text);
      case TokenKind::kString:
        return StringLiteral();
      case TokenKind::kInteger:
      case TokenKind::kFloat:
        Next();
        return NumberLiteral(token);
      default:
        break;
    }
    if (Take("(")) return Parentheses();
    if (Take("[")) return ListLiteral();
    if (Take("{")) return DictLiteral();
    Unexpected("a value");
    return Make(NodeKind::kLiteral);
  }

  Node* Named(std::string_view name) {
    if (name == "true" || name == "True") return MakeLiteral(Value(true));
    if (name == "false" || name == "False") return MakeLiteral(Value(false));
    if (name == "none" || name == "None") return MakeLiteral(Value(Type::kNone));
    return MakeNamed(NodeKind::kName, name);
  }
  Node* StringLiteral() {
    TextBuilder text(work_);
    while (Now().kind == TokenKind::kString) {
      AddUnescaped(Now().text.substr(1, Now().text.size() - 2), &text);
      Next();
    }
    return MakeLiteral(MakeString(work_, text.Finish()));
  }
  void AddUnescaped(std::string_view text, TextBuilder* out);
  Node* NumberLiteral(const Token& token) {
    const char* end = token.text.data() + token.text.size();
    int64_t integer = 0;
    double value = 0;
    const bool whole = token.kind == TokenKind::kInteger;
    const auto read = whole ? std::from_chars(token.text.data(), end, integer)
                            : std::from_chars(token.text.data(), end, value);
    if (read.ec != std::errc() || read.ptr != end) {
      work_->line = token.line;
      work_->Fail("a number of %zu digits is out of range", token.text.size());
    }
    return MakeLiteral(whole ? Value(integer) : MakeFloat(work_, value));
  }
  Node* Parentheses() {
    if (Take(")")) return Make(NodeKind::kTuple);
    Node* inner = TupleOrOne();
    Expect(")");
    return inner;
  }
  Node* ListLiteral() {
    Chain list;
    while (!Is("]") && !work_->failed()) {
      if (list.first != nullptr) Expect(",");
      if (!Is("]")) list.Add(Expression());
    }
    Expect("]");
    Node* node = Make(NodeKind::kList);
    node->list = list.first;
    return node;
  }
  Node* DictLiteral() {
    Chain list;
    while (!Is("}") && !work_->failed()) {
      if (list.first != nullptr) Expect(",");
      if (Is("}")) break;
      Node* key = Expression();
      Expect(":");
      list.Add(Make(NodeKind::kPair, key, Expression()));
    }
    Expect("}");
    Node* node = Make(NodeKind::kDict);
    node->list = list.first;
    return node;
  }

  Node* Postfix(Node* node) {
    while (!work_->failed()) {
      if (Take(".")) {
        node = AfterDot(node);
      } else if (Take("[")) {
        node = Subscript(node);
      } else if (Is("(")) {
        node = Call(node);
      } else {
        break;
      }
    }
    return node;
  }
  Node* AfterDot(Node* object) {
    const Token token = Now();
    if (token.kind != TokenKind::kInteger)
      return MakeNamed(NodeKind::kAttribute, ExpectName(), object);
    Next();
    return Make(NodeKind::kItem, object, NumberLiteral(token));
  }
  Node* Subscript(Node* object) {
    Node* first = Is(":") ? nullptr : Expression();
    Node* node = Make(NodeKind::kItem, object, first);
    if (Take(":")) {
      node->kind = NodeKind::kSlice;
      if (!IsAny({":", "]"})) node->c = Expression();
      if (Take(":") && !Is("]")) node->d = Expression();
    }
    Expect("]");
    return node;
  }
  Node* Call(Node* callee) {
    Node* node = Make(NodeKind::kCall, callee);
    node->list = Arguments();
    return node;
  }
  Node* Arguments() {
    Chain list;
    bool keywords = false;
    Expect("(");
    while (!Is(")") && !work_->failed()) {
      if (list.first != nullptr) Expect(",");
      if (Is(")")) break;
      const bool keyword = Now().kind == TokenKind::kName && Is(Ahead(), "=");
      if (keywords && !keyword) Unexpected("a keyword argument");
      keywords = keyword;
      if (!keyword) {
        list.Add(Expression());
        continue;
      }
      Node* argument = MakeNamed(NodeKind::kKeyword, ExpectName());
      Expect("=");
      argument->a = Expression();
      list.Add(argument);
    }
    Expect(")");
    return list.first;
  }

  Node* FiltersAndTests(Node* node) {
    while (!work_->failed()) {
      if (Is("|")) {
        node = Filters(node);
      } else if (Take("is")) {
        node = Test(node);
      } else if (Is("(")) {
        node = Call(node);
      } else {
        break;
      }
    }
    return node;
  }
  Node* Filters(Node* subject) {
    while (Take("|")) subject = OneFilter(subject);
    return subject;
  }
  Node* OneFilter(Node* subject) {
    Node* node = MakeNamed(NodeKind::kFilter, ExpectName(), subject);
    if (Is("(")) node->list = Arguments();
    return node;
  }
  Node* Test(Node* subject) {
    const bool negated = Take("not");
    Node* node = MakeNamed(NodeKind::kTest, ExpectName(), subject);
    const TokenKind kind = Now().kind;
    const bool value = kind == TokenKind::kName || kind == TokenKind::kString ||
                       kind == TokenKind::kInteger || kind == TokenKind::kFloat ||
                       IsAny({"[", "{"});
    if (Is("(")) {
      node->list = Arguments();
    } else if (value && !IsAny({"else", "or", "and"})) {
      if (Is("is")) Unexpected("one test only");
      node->list = Postfix(Primary());
    }
    return negated ? Make(NodeKind::kNot, node) : node;
  }

  Workspace* work_;
  Span<const Token> tokens_;
  size_t at_ = 0;
  uint32_t loops_ = 0;
};

// Python's escapes; what it does not know stays as it is.
inline void Parser::AddUnescaped(std::string_view text, TextBuilder* out) {
  static constexpr std::string_view kLetters = "\\'\"abfnrtv";
  static constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
  for (size_t at = 0; at < text.size() && !work_->failed();) {
    const size_t slash = std::min(text.find('\\', at), text.size());
    out->Add(text.substr(at, slash - at), true);
    if (slash == text.size()) return;
    const char c = text[slash + 1];  // a string does not end behind a backslash
    at = slash + 2;
    const size_t simple = kLetters.find(c);
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (simple != std::string_view::npos) {
      out->Add(kMeanings.substr(simple, 1), true);
    } else if (digits != 0) {
      uint32_t code = 0;
      const std::string_view hex = text.substr(at, digits);
      const auto read = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
      const bool whole = hex.size() == digits && read.ptr == hex.data() + digits;
      if (!whole || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        work_->line = Now().line;
        work_->Fail("'\\%c' needs %zu hexadecimal digits of a character", c, digits);
        return;
      }
      out->Add(code, true);
      at += digits;
    } else if (c >= '0' && c <= '7') {
      uint32_t code = 0;
      const std::string_view octal = text.substr(at - 1, 3);
      at = slash + 1 +
           static_cast<size_t>(
               std::from_chars(octal.data(), octal.data() + octal.size(), code, 8).ptr -
               octal.data());
      out->Add(code, true);
    } else if (c != '\n') {
      out->Add(text.substr(slash, 2), true);
    }
  }
}

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_PARSER_H_
