// junto run: one answer, or a conversation.
#include <cinttypes>
#include <cstdio>
#include <iostream>

#include "answer.h"
#include "format.h"
#include "open.h"
#include "terminal.h"

namespace cli {
namespace {

constexpr char kChatHelp[] =
    "/reset forgets the conversation, /quit or Ctrl-D ends it, Ctrl-C stops an answer.\n";

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

// A prompt as far as the options decide it: template variables and the system's turn.
Prompt StartPrompt(const OpenModel& open, const RunOptions& options) {
  Prompt prompt = NewPrompt(open);
  junto_error error = NewError();
  for (const auto& [key, value] : options.variables) {
    Check(junto_prompt_set_variable(prompt.get(), key.data(), key.size(), value.data(),
                                    value.size(), &error),
          error);
  }
  if (!options.system.empty()) AddTurn(prompt.get(), "system", options.system);
  return prompt;
}

// Whether this model's file says how turns are written.
bool KnowsTurns(const OpenModel& open) {
  const Prompt probe = NewPrompt(open);
  return junto_prompt_begin_turn(probe.get(), "user", 4, nullptr) == JUNTO_OK;
}

// Answers the prompt on stdout and returns the text.
std::string Reply(const OpenModel& open, const RunOptions& options, junto_session* session,
                  const junto_prompt* prompt) {
  junto_error error = NewError();
  Check(junto_session_prefill(session, prompt, &error), error);
  Answer answer(open.model.get(), options.raw, !options.model.quiet && ErrorIsTerminal());
  junto_status status;
  {
    const CancelOnInterrupt on_interrupt(session);
    status = junto_session_generate(session, Answer::OnChunk, &answer, &error);
  }
  answer.Finish();
  if (status == JUNTO_E_CALLBACK) throw Failure("standard output cannot be written to");
  Check(status, error);
  if (!options.model.quiet) PrintUsage(open, Usage(session), status == JUNTO_CANCELLED);
  return answer.text();
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

// Reads one line of the person's; false at the end of input.
bool ReadTurn(std::string* line) {
  if (InputIsTerminal()) std::fputs("> ", stderr);
  return static_cast<bool>(std::getline(std::cin, *line));
}

int Chat(const OpenModel& open, const RunOptions& options, junto_session* session) {
  Prompt prompt = StartPrompt(open, options);
  const auto answer = [&](const std::string& turn) {
    AddTurn(prompt.get(), "user", turn);
    try {
      AddTurn(prompt.get(), "assistant", Reply(open, options, session, prompt.get()));
    } catch (const Failure& failure) {
      if (!InputIsTerminal()) throw;
      Explain(failure);  // a full context, say: /reset gets a person out of that
    }
  };
  if (options.has_prompt) answer(options.prompt);
  if (InputIsTerminal() && !options.model.quiet) std::fputs(kChatHelp, stderr);
  for (std::string line; ReadTurn(&line);) {
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
  return chat ? Chat(open, options, session.get()) : AnswerOnce(open, options, session.get(), text);
}

}  // namespace cli
