// junto run: one answer, or a conversation.
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>

#include "answer.h"
#include "format.h"
#include "open.h"
#include "terminal.h"

namespace cli {
namespace {

constexpr char kChatHelp[] =
    "/reset forgets the conversation, /quit or Ctrl-D ends it, Ctrl-C stops an answer.\n"
    "A line that ends in \\ goes on in the next, and so does everything between two \"\"\".\n";
constexpr char kBlock[] = "\"\"\"";

// The one-line account that follows an answer, on stderr.
void PrintUsage(const OpenModel& open, const junto_usage& usage, bool cancelled) {
  const uint64_t fresh = usage.prompt_tokens - usage.cached_tokens;
  std::string line = Format("prompt %" PRIu64 " tokens, ", usage.prompt_tokens);
  if (usage.cached_tokens != 0) line += Format("%" PRIu64 " of them cached, ", usage.cached_tokens);
  line += Format("%.1f tokens/s; ", PerSecond(fresh, usage.prefill_ns));
  // The first token of an answer comes out of the prompt's last pass, the others out of their own.
  const uint64_t passes = usage.new_tokens == 0 ? 0 : usage.new_tokens - 1;
  line += Format("answer %" PRIu64 " tokens, %.1f tokens/s; ", usage.new_tokens,
                 PerSecond(passes, usage.decode_ns));
  if (const uint64_t asked = usage.expert_hits + usage.expert_misses; asked != 0) {
    const auto percent = [](uint64_t part, uint64_t whole) {
      return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    };
    line += Format("experts %.1f %% in memory, %.1f %% foreseen, ",
                   percent(usage.expert_hits, asked), percent(usage.expert_foreseen, asked));
    line += Bytes(usage.expert_read_bytes) + " read, ";
    line += Format("%.1f s waited; ", static_cast<double>(usage.expert_stall_ns) * 1e-9);
  }
  line += "memory " + Bytes(Memory(open.runtime.get()).peak) + " at most";
  if (cancelled) line += "; cancelled";
  if (usage.stop == JUNTO_STOP_LENGTH) line += "; ended by -n";
  if (usage.stop == JUNTO_STOP_CONTEXT) line += "; ended as the context is full (see --context)";
  std::fprintf(stderr, ErrorIsTerminal() ? "\033[2m[%s]\033[0m\n" : "[%s]\n", line.c_str());
}

void AddText(junto_prompt* prompt, const std::string& text) {
  junto_error error = NewError();
  Check(junto_prompt_add_text(prompt, text.data(), text.size(), &error), error);
}

void AddTurn(junto_prompt* prompt, const std::string& role, const std::string& text) {
  junto_error error = NewError();
  Check(junto_prompt_begin_turn(prompt, role.data(), role.size(), &error), error);
  try {
    AddText(prompt, text);
  } catch (const Failure&) {
    junto_prompt_end_turn(prompt, nullptr);  // left open it would refuse every later one
    throw;
  }
  Check(junto_prompt_end_turn(prompt, &error), error);
}

// Adds what the model said, as it wants to see it again. Returns the calls that are whole.
std::vector<ToolCall> AddAnswer(junto_prompt* prompt, const Answer& answer) {
  junto_error error = NewError();
  Check(junto_prompt_begin_turn(prompt, "assistant", 9, &error), error);
  const std::string& reasoning = answer.reasoning();
  if (!reasoning.empty()) {
    Check(junto_prompt_add_reasoning(prompt, reasoning.data(), reasoning.size(), &error), error);
  }
  AddText(prompt, answer.content());
  std::vector<ToolCall> whole;
  for (const ToolCall& call : answer.calls()) {
    const junto_status status =
        junto_prompt_add_tool_call(prompt, call.name.data(), call.name.size(),
                                   call.arguments.data(), call.arguments.size(), &error);
    if (status == JUNTO_OK) {
      whole.push_back(call);
    } else {
      std::fprintf(stderr, "junto: the call of %s is left out: %s\n", call.name.c_str(),
                   error.message);
    }
  }
  Check(junto_prompt_end_turn(prompt, &error), error);
  return whole;
}

void AddResult(junto_prompt* prompt, const std::string& tool, const std::string& result) {
  junto_error error = NewError();
  Check(junto_prompt_begin_tool_turn(prompt, tool.data(), tool.size(), &error), error);
  AddText(prompt, result);
  Check(junto_prompt_end_turn(prompt, &error), error);
}

void SetTools(junto_prompt* prompt, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string json{std::istreambuf_iterator<char>(file), {}};
  junto_error error = NewError();
  Check(junto_prompt_set_tools(prompt, json.data(), json.size(), &error), error);
}

std::string Today() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%d", std::localtime(&now))};
}

// A prompt as far as the options decide it: template variables, tools and the system's turn.
Prompt StartPrompt(const OpenModel& open, const RunOptions& options) {
  Prompt prompt = NewPrompt(open);
  junto_error error = NewError();
  // The library looks at no clock. Models whose markup does not ask for the day refuse it.
  const std::string today = Today();
  junto_prompt_set_variable(prompt.get(), "current_date", 12, today.data(), today.size(), nullptr);
  for (const auto& [key, value] : options.variables) {
    Check(junto_prompt_set_variable(prompt.get(), key.data(), key.size(), value.data(),
                                    value.size(), &error),
          error);
  }
  if (!options.tools.empty()) SetTools(prompt.get(), options.tools);
  if (!options.system.empty()) AddTurn(prompt.get(), "system", options.system);
  return prompt;
}

// Whether this model's file says how turns are written.
bool KnowsTurns(const OpenModel& open) {
  const Prompt probe = NewPrompt(open);
  return junto_prompt_begin_turn(probe.get(), "user", 4, nullptr) == JUNTO_OK;
}

// Answers the prompt on stdout.
Answer Reply(const OpenModel& open, const RunOptions& options, junto_session* session,
             const junto_prompt* prompt) {
  junto_error error = NewError();
  Check(junto_session_prefill(session, prompt, &error), error);
  Answer answer(!options.model.quiet && ErrorIsTerminal());
  junto_status status;
  {
    const CancelOnInterrupt on_interrupt(session);
    status = junto_session_generate(session, Answer::OnChunk, &answer, &error);
  }
  answer.Finish();
  if (status == JUNTO_E_CALLBACK) throw Failure("standard output cannot be written to");
  Check(status, error);
  if (!options.model.quiet) PrintUsage(open, Usage(session), status == JUNTO_CANCELLED);
  return answer;
}

int AnswerOnce(const OpenModel& open, const RunOptions& options, junto_session* session,
               const std::string& text) {
  Prompt prompt = StartPrompt(open, options);
  if (options.raw || !KnowsTurns(open)) {
    AddText(prompt.get(), text);
  } else {
    AddTurn(prompt.get(), "user", text);
  }
  Reply(open, options, session, prompt.get());
  return 0;
}

bool ReadLine(const char* sign, std::string* line) {
  if (InputIsTerminal()) std::fputs(sign, stderr);
  return static_cast<bool>(std::getline(std::cin, *line));
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Reads what a person says next, see kChatHelp; false at the end of input.
bool ReadTurn(const char* sign, std::string* turn) {
  if (!ReadLine(sign, turn)) return false;
  std::string line;
  if (turn->compare(0, 3, kBlock) == 0) {
    turn->erase(0, 3);
    while (!EndsWith(*turn, kBlock) && ReadLine(". ", &line)) {
      *turn += (turn->empty() ? "" : "\n") + line;
    }
    if (EndsWith(*turn, kBlock)) turn->erase(turn->size() - 3);
    if (EndsWith(*turn, "\n")) turn->pop_back();
    return true;
  }
  while (EndsWith(*turn, "\\")) {
    turn->back() = '\n';
    if (!ReadLine(". ", &line)) break;
    *turn += line;
  }
  return true;
}

// Answers until the model calls no tool. A person gives the results; without one it ends.
void Converse(const OpenModel& open, const RunOptions& options, junto_session* session,
              junto_prompt* prompt) {
  for (;;) {
    const std::vector<ToolCall> calls = AddAnswer(prompt, Reply(open, options, session, prompt));
    if (calls.empty()) return;
    for (const ToolCall& call : calls) {
      std::string result;
      if (!ReadTurn(("result of " + call.name + "> ").c_str(), &result)) return;
      AddResult(prompt, call.name, result);
    }
  }
}

int Chat(const OpenModel& open, const RunOptions& options, junto_session* session) {
  Prompt prompt = StartPrompt(open, options);
  const auto answer = [&](const std::string& turn) {
    AddTurn(prompt.get(), "user", turn);
    try {
      Converse(open, options, session, prompt.get());
    } catch (const Failure& failure) {
      if (!InputIsTerminal()) throw;
      Explain(failure);  // a full context, say: /reset gets a person out of that
    }
  };
  if (options.has_prompt) answer(options.prompt);
  if (InputIsTerminal() && !options.model.quiet) std::fputs(kChatHelp, stderr);
  for (std::string line; ReadTurn("> ", &line);) {
    if (line == "/quit") return 0;
    if (line == "/reset") {
      prompt = StartPrompt(open, options);
    } else if (!line.empty() && line.front() == '/') {
      std::fputs(kChatHelp, stderr);
    } else if (!line.empty()) {
      answer(line);
    }
  }
  if (InputIsTerminal()) std::fputc('\n', stderr);
  return 0;
}

}  // namespace

int Run(const RunOptions& options) {
  const bool chat = options.chat || (!options.has_prompt && InputIsTerminal());
  const std::string text = chat || options.has_prompt ? options.prompt : ReadInput();
  if (!chat && text.empty()) {
    throw Failure("the prompt is empty", "give one with -p, or on standard input");
  }
  const OpenModel open = Open(options.model);
  if (chat && !KnowsTurns(open)) {
    throw Failure("this model's file does not say how a conversation is written",
                  "let it go on from a text with -p TEXT");
  }
  const Session session = NewSession(open, SessionDesc(options.session));
  junto_error error = NewError();
  Check(junto_session_set_sampling(session.get(), &options.sampling, &error), error);
  const uint32_t output =
      options.raw ? JUNTO_OUTPUT_RAW : JUNTO_OUTPUT_REASONING | JUNTO_OUTPUT_TOOL_CALLS;
  Check(junto_session_set_output(session.get(), output, &error), error);
  return chat ? Chat(open, options, session.get()) : AnswerOnce(open, options, session.get(), text);
}

}  // namespace cli
