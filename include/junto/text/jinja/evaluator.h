// Evaluator: runs a template's tree over the values it is given.
#ifndef JUNTO_TEXT_JINJA_EVALUATOR_H_
#define JUNTO_TEXT_JINJA_EVALUATOR_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "junto/text/jinja/date.h"
#include "junto/text/jinja/filters.h"
#include "junto/text/jinja/node.h"
#include "junto/text/jinja/operators.h"

namespace junto {
namespace jinja {

// A name and what it stands for, in the scope of a loop's round, a macro's call or the template.
struct Variable {
  std::string_view name;
  Value value;
  Variable* next;
};
struct Scope {
  Scope* parent;
  Loop* loop;  // what `loop` means here; nullptr: ask the parent
  Variable* first;
};

struct Macro {
  const Node* node;
  Scope* scope;  // where it was defined
};

class Evaluator {
 public:
  // `globals` is a dict. Without `date` strftime_now is not defined.
  Evaluator(Workspace* work, const Value& globals, const Date* date)
      : work_(work), globals_(globals), date_(date) {}

  // Failures are the workspace's. Throws OutOfMemory.
  void Run(const Node* body, TextBuilder* out) {
    out_ = out;
    scope_ = work_->New<Scope>();
    Execute(body);
  }

 private:
  enum class Flow { kOn, kBreak, kContinue };

  // While it lives, names are set in a new scope.
  class Inside {
   public:
    Inside(Evaluator* self, Scope* parent, Loop* loop = nullptr)
        : self_(self), outer_(self->scope_) {
      self->scope_ = self->work_->New<Scope>(Scope{parent, loop, nullptr});
    }
    ~Inside() { self_->scope_ = outer_; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    Evaluator* self_;
    Scope* outer_;
  };

  // ---- statements

  Flow Execute(const Node* body) {
    const Level level(work_, work_->limits().depth);
    for (; body != nullptr && work_->Step(); body = body->next) {
      work_->line = body->line;
      const Flow flow = ExecuteOne(*body);
      if (flow != Flow::kOn) return flow;
    }
    return Flow::kOn;
  }

  Flow ExecuteOne(const Node& node) {
    switch (node.kind) {
      case NodeKind::kText:
        out_->Add(*node.value.text);
        return Flow::kOn;
      case NodeKind::kOutput:
        Print(Evaluate(*node.a));
        return Flow::kOn;
      case NodeKind::kIf:
        return If(node);
      case NodeKind::kFor:
        return For(node);
      case NodeKind::kSet:
        Assign(*node.a, Evaluate(*node.b));
        return Flow::kOn;
      case NodeKind::kSetBlock:
        SetBlock(node);
        return Flow::kOn;
      case NodeKind::kMacro:
        SetVariable(node.name, Value(work_->New<Macro>(Macro{&node, scope_})));
        return Flow::kOn;
      case NodeKind::kFilterBlock: {
        const Value text = Capture(node.list, scope_);
        Print(Filter(*node.a, &text));
        return Flow::kOn;
      }
      case NodeKind::kBreak:
        return Flow::kBreak;
      case NodeKind::kContinue:
        return Flow::kContinue;
      default:
        work_->Fail("node kind %d is no statement", static_cast<int>(node.kind));
        return Flow::kOn;
    }
  }

  void Print(const Value& value) {
    if (work_->failed()) return;
    if (value.string()) return out_->Add(*value.text);
    Printer(work_, out_).Plain(value);
  }

  Flow If(const Node& node) {
    for (const Node* branch = node.list; branch != nullptr && work_->Step();
         branch = branch->next) {
      if (branch->a == nullptr || Truth(Evaluate(*branch->a))) return Execute(branch->list);
    }
    return Flow::kOn;
  }

  Flow For(const Node& node) {
    Span<const Value> items = Items(work_, Evaluate(*node.b));
    if (node.c != nullptr) items = Chosen(node, items);
    if (work_->failed()) return Flow::kOn;
    if (items.empty()) {
      if (node.d == nullptr) return Flow::kOn;
      const Inside otherwise(this, scope_);
      return Execute(node.d->list);
    }
    auto* loop = work_->New<Loop>();
    loop->items = items;
    for (; loop->index < items.size() && work_->Step(); ++loop->index) {
      const Inside round(this, scope_, loop);
      Assign(*node.a, items[loop->index]);
      if (Execute(node.list) == Flow::kBreak) break;
    }
    return Flow::kOn;
  }
  // The items for which the loop's condition holds.
  Span<const Value> Chosen(const Node& node, Span<const Value> items) {
    List list;
    for (const Value& item : items) {
      if (!work_->Step()) break;
      const Inside round(this, scope_);
      Assign(*node.a, item);
      if (Truth(Evaluate(*node.c))) list.Add(work_, item);
    }
    return list.items();
  }

  void SetBlock(const Node& node) {
    const Value text = Capture(node.list, scope_);
    Assign(*node.a, node.b == nullptr ? text : Filter(*node.b, &text));
  }

  void Assign(const Node& target, const Value& value) {
    if (target.kind == NodeKind::kTuple) return Unpack(target, value);
    if (target.kind == NodeKind::kName) return SetVariable(target.name, value);
    const Value object = Lookup(target.name);
    if (object.is(Type::kNamespace)) return object.dict->Set(work_, target.c->value, value);
    work_->Fail("cannot assign attribute on non-namespace object '%.*s'",
                static_cast<int>(Utf8Prefix(target.name, 64).size()), target.name.data());
  }
  void Unpack(const Node& target, const Value& value) {
    const Span<const Value> items = Items(work_, value);
    size_t wanted = 0;
    for (const Node* each = target.list; each != nullptr; each = each->next) ++wanted;
    if (items.size() != wanted)
      return work_->Fail("%zu values to unpack, %zu found", wanted, items.size());
    const Value* item = items.begin();
    for (const Node* each = target.list; each != nullptr; each = each->next) Assign(*each, *item++);
  }

  // What `body` prints, in a scope of its own below `parent`.
  Value Capture(const Node* body, Scope* parent) {
    const Inside inner(this, parent);
    return CaptureHere(body);
  }
  Value CaptureHere(const Node* body) {
    TextBuilder captured(work_);
    TextBuilder* outer = out_;
    out_ = &captured;
    Execute(body);
    out_ = outer;
    return MakeString(work_, captured.Finish());
  }

  // ---- names

  void SetVariable(std::string_view name, const Value& value) {
    for (Variable* variable = scope_->first; variable != nullptr; variable = variable->next) {
      if (!work_->Step()) return;
      if (variable->name == name) {
        variable->value = value;
        return;
      }
    }
    scope_->first = work_->New<Variable>(Variable{name, value, scope_->first});
  }
  Value Lookup(std::string_view name) {
    uint64_t looked_at = 0;
    for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
      for (const Variable* v = scope->first; v != nullptr; v = v->next, ++looked_at) {
        if (v->name == name) return v->value;
      }
      if (scope->loop != nullptr && name == "loop") return Value(scope->loop);
    }
    if (!work_->Step(looked_at / 8)) return Value();
    if (const Value* value = globals_.dict->Find(work_, name)) return *value;
    if (name == "namespace") return Value(Function::kNamespace);
    if (name == "range") return Value(Function::kRange);
    if (name == "dict") return Value(Function::kDict);
    if (name == "raise_exception") return Value(Function::kRaise);
    if (name == "strftime_now" && date_ != nullptr) return Value(Function::kStrftimeNow);
    return Undefined(work_, name);
  }

  // ---- expressions

  Value Evaluate(const Node& node) {
    const Level level(work_, work_->limits().depth);
    if (!work_->Step()) return Value();
    switch (node.kind) {
      case NodeKind::kLiteral:
        return node.value;
      case NodeKind::kName:
        return Lookup(node.name);
      case NodeKind::kAttribute:
        return Attribute(work_, Evaluate(*node.a), node.name);
      case NodeKind::kItem:
        return ItemExpression(node);
      case NodeKind::kSlice:
        return SliceExpression(node);
      case NodeKind::kCall:
        return Call(node);
      case NodeKind::kFilter:
        return Filter(node, nullptr);
      case NodeKind::kTest:
        return Test(node);
      case NodeKind::kNot:
        return Value(!Truth(Evaluate(*node.a)));
      case NodeKind::kNegative:
        return Negated(work_, Evaluate(*node.a));
      case NodeKind::kPositive:
        return Evaluate(*node.a);
      case NodeKind::kAnd:
      case NodeKind::kOr:
        return Either(node);
      case NodeKind::kBinary:
        return Binary(node);
      case NodeKind::kCompare:
        return Compare(node);
      case NodeKind::kConcat:
        return Concat(node);
      case NodeKind::kConditional:
        if (Truth(Evaluate(*node.b))) return Evaluate(*node.a);
        return node.c == nullptr ? Undefined(work_, "the value of an if without else")
                                 : Evaluate(*node.c);
      case NodeKind::kList:
        return Sequence(node, Type::kList);
      case NodeKind::kTuple:
        return Sequence(node, Type::kTuple);
      case NodeKind::kDict:
        return DictExpression(node);
      default:
        work_->Fail("node kind %d is no expression", static_cast<int>(node.kind));
        return Value();
    }
  }

  Value ItemExpression(const Node& node) {
    const Value object = Evaluate(*node.a);
    return Item(work_, object, Evaluate(*node.b));
  }
  Value SliceExpression(const Node& node) {
    const Value object = Evaluate(*node.a);
    const auto bound = [this](const Node* each) {
      return each == nullptr ? Value(Type::kNone) : Evaluate(*each);
    };
    const Value from = bound(node.b);
    const Value to = bound(node.c);
    return SliceOf(work_, object, from, to, bound(node.d));
  }
  Value Either(const Node& node) {
    const Value left = Evaluate(*node.a);
    return Truth(left) == (node.kind == NodeKind::kOr) ? left : Evaluate(*node.b);
  }
  Value Binary(const Node& node) {
    const Value left = Evaluate(*node.a);
    const Value right = Evaluate(*node.b);
    if (work_->failed()) return Value();
    work_->line = node.line;
    return Arithmetic(work_, node.op, left, right);
  }
  Value Compare(const Node& node) {
    Value left = Evaluate(*node.a);
    for (const Node* operand = node.list; operand != nullptr; operand = operand->next) {
      const Value right = Evaluate(*operand->a);
      if (work_->failed()) return Value();
      if (!Compared(work_, operand->op, left, right)) return Value(false);
      left = right;
    }
    return Value(true);
  }
  Value Concat(const Node& node) {
    TextBuilder out(work_);
    for (const Node* part = node.list; part != nullptr && !work_->failed(); part = part->next) {
      out.Add(ToText(work_, Evaluate(*part)));
    }
    return MakeString(work_, out.Finish());
  }
  Value Sequence(const Node& node, Type type) {
    auto* list = work_->New<List>();
    for (const Node* item = node.list; item != nullptr && !work_->failed(); item = item->next) {
      list->Add(work_, Evaluate(*item));
    }
    return Value(list, type);
  }
  Value DictExpression(const Node& node) {
    auto* dict = work_->New<Dict>();
    for (const Node* pair = node.list; pair != nullptr && !work_->failed(); pair = pair->next) {
      const Value key = Evaluate(*pair->a);
      if (CheckKey(work_, key)) dict->Set(work_, key, Evaluate(*pair->b));
    }
    return Value(dict);
  }

  Value Test(const Node& node) {
    const Value value = Evaluate(*node.a);
    const Arguments arguments = Collect(node.list);
    if (work_->failed()) return Value();
    return Value(ApplyTest(node.name, value, arguments));
  }
  // `subject` is what the innermost filter of a block is applied to.
  Value Filter(const Node& node, const Value* subject) {
    const Level level(work_, work_->limits().depth);
    if (!work_->Step()) return Value();
    const bool chained = node.a != nullptr && subject != nullptr;
    const Value value = chained             ? Filter(*node.a, subject)
                        : node.a == nullptr ? *subject
                                            : Evaluate(*node.a);
    const Arguments arguments = Collect(node.list);
    if (work_->failed()) return Value();
    return ApplyFilter(node.name, value, arguments);
  }

  // ---- calls

  Arguments Collect(const Node* list) {
    size_t counts[2] = {0, 0};
    for (const Node* each = list; each != nullptr; each = each->next) {
      ++counts[each->kind == NodeKind::kKeyword];
    }
    auto* positional = work_->Array<Value>(counts[0]);
    auto* keywords = work_->Array<Keyword>(counts[1]);
    if (positional == nullptr || keywords == nullptr) return {work_, {}, {}};
    size_t at[2] = {0, 0};
    for (; list != nullptr; list = list->next) {
      if (list->kind == NodeKind::kKeyword) {
        keywords[at[1]++] = {list->name, Evaluate(*list->a)};
      } else {
        positional[at[0]++] = Evaluate(*list);
      }
    }
    return {work_, {positional, counts[0]}, {keywords, counts[1]}};
  }

  Value Call(const Node& node) {
    const Value callee = Evaluate(*node.a);
    const Arguments arguments = Collect(node.list);
    work_->line = node.line;
    if (work_->failed()) return Value();
    switch (callee.type) {
      case Type::kMacro:
        return CallMacro(*callee.macro, arguments);
      case Type::kMethod:
        return CallMethod(*callee.method, arguments);
      case Type::kFunction:
        return CallFunction(callee.function, arguments);
      case Type::kUndefined:
        if (node.a->kind == NodeKind::kName && node.a->name == "strftime_now") {
          work_->Fail("strftime_now: the variable current_date (YYYY-MM-DD) is not set");
        }
        FailUndefined(work_, callee);
        return Value();
      default:
        work_->Fail("'%s' object is not callable", TypeName(callee));
        return Value();
    }
  }

  Value CallMacro(const Macro& macro, const Arguments& arguments) {
    const Inside call(this, macro.scope);
    size_t index = 0;
    size_t used = 0;
    for (const Node* parameter = macro.node->b; parameter != nullptr;
         parameter = parameter->next, ++index) {
      const Value* given = arguments.Find(index, parameter->name);
      used += given != nullptr;
      SetVariable(parameter->name, given != nullptr          ? *given
                                   : parameter->a != nullptr ? Evaluate(*parameter->a)
                                                             : Undefined(work_, parameter->name));
    }
    if (used < arguments.positional.size() + arguments.keywords.size()) {
      work_->Fail("macro '%.*s' takes %zu arguments, %zu more were given",
                  static_cast<int>(Utf8Prefix(macro.node->name, 64).size()),
                  macro.node->name.data(), index,
                  arguments.positional.size() + arguments.keywords.size() - used);
    }
    return CaptureHere(macro.node->list);
  }

  Value CallFunction(Function function, const Arguments& arguments) {
    switch (function) {
      case Function::kNamespace:
      case Function::kDict:
        return MakeDict(arguments, function == Function::kDict ? Type::kDict : Type::kNamespace);
      case Function::kRange:
        return MakeRange(arguments);
      case Function::kStrftimeNow:
        return MakeString(work_, FormatDate(work_, arguments.NeedText(0, "format"), *date_));
      case Function::kRaise: {
        const Text text = ToText(work_, arguments.Need(0, "message"));
        const std::string_view shown = Utf8Prefix(text.view, Status::kMessageCapacity);
        work_->Fail("%.*s", static_cast<int>(shown.size()), shown.data());
        return Value();
      }
    }
    return Value();
  }
  Value MakeDict(const Arguments& arguments, Type type) {
    auto* dict = work_->New<Dict>();
    if (!arguments.positional.empty() && arguments.positional[0].is(Type::kDict)) {
      for (const Dict::Entry& entry : arguments.positional[0].dict->entries()) {
        if (work_->Step()) dict->Set(work_, entry.key, entry.value);
      }
    }
    for (const Keyword& keyword : arguments.keywords) dict->Set(work_, keyword.name, keyword.value);
    return Value(dict, type);
  }
  Value MakeRange(const Arguments& arguments) {
    static constexpr int64_t kMost = int64_t{1} << 40;
    const bool one = arguments.positional.size() < 2;
    const int64_t first = one ? 0 : arguments.Integer(0, "start", 0);
    const int64_t last = one ? arguments.Integer(0, "stop", 0) : arguments.Integer(1, "stop", 0);
    const int64_t step = arguments.Integer(2, "step", 1);
    const auto wide = [](int64_t x) { return x > kMost || x < -kMost; };
    if (arguments.positional.empty()) arguments.Need(0, "stop");
    if (step == 0 || wide(first) || wide(last) || wide(step)) {
      work_->Fail("range: a step of 0, or a number beyond 2^40");
      return Value();
    }
    const int64_t span = step > 0 ? last - first : first - last;
    const int64_t stride = step > 0 ? step : -step;
    const auto count = static_cast<uint64_t>(span <= 0 ? 0 : (span - 1) / stride + 1);
    return Value(work_->New<Progression>(Progression{first, step, count, last}));
  }

  Workspace* work_;
  Value globals_;
  const Date* date_;
  TextBuilder* out_ = nullptr;
  Scope* scope_ = nullptr;
};

}  // namespace jinja
}  // namespace junto

#endif  // JUNTO_TEXT_JINJA_EVALUATOR_H_
