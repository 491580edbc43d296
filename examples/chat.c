/* A conversation with a model, on the terminal. Usage: chat MODEL.gguf [TOKENS of an answer] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "junto.h"

static char answer[1 << 16]; /* kept, as the model must hear what it said */
static size_t answer_size;

static int thinking; /* what is on the terminal last is reasoning, dimmed */

static junto_status JUNTO_CALL on_chunk(void* user, const junto_chunk* chunk) {
  const int reasoning = chunk->channel == JUNTO_CHANNEL_REASONING;
  (void)user;
  if (chunk->text_size == 0) return JUNTO_OK;
  if (reasoning != thinking) fputs(reasoning ? "\033[2m" : "\033[0m\n\n", stdout);
  thinking = reasoning;
  fwrite(chunk->text, 1, chunk->text_size, stdout);
  fflush(stdout);
  if (reasoning) return JUNTO_OK;
  if (chunk->text_size > sizeof answer - answer_size) return JUNTO_DONE;
  memcpy(answer + answer_size, chunk->text, chunk->text_size);
  answer_size += chunk->text_size;
  return JUNTO_OK;
}

static junto_status add_turn(junto_prompt* prompt, const char* role, const char* text, size_t size,
                             junto_error* err) {
  junto_status status = junto_prompt_begin_turn(prompt, role, strlen(role), err);
  if (status >= 0) status = junto_prompt_add_text(prompt, text, size, err);
  if (status >= 0) status = junto_prompt_end_turn(prompt, err);
  return status;
}

int main(int argc, char** argv) {
  junto_runtime* runtime = NULL;
  junto_model* model = NULL;
  junto_session* session = NULL;
  junto_prompt* prompt = NULL;
  junto_sampling sampling;
  junto_error err;
  junto_status status;
  char line[4096];

  if (argc < 2) return fprintf(stderr, "usage: chat MODEL.gguf [TOKENS]\n"), 2;
  junto_sampling_init(&sampling, sizeof sampling);
  sampling.max_new_tokens = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
  junto_error_init(&err, sizeof err);
  status = junto_runtime_create(NULL, &runtime, &err);
  if (status >= 0) status = junto_model_load(runtime, argv[1], strlen(argv[1]), NULL, &model, &err);
  if (status >= 0) status = junto_session_create(model, NULL, &session, &err);
  if (status >= 0) status = junto_session_set_output(session, JUNTO_OUTPUT_REASONING, &err);
  if (status >= 0) status = junto_session_set_sampling(session, &sampling, &err);
  if (status >= 0) status = junto_prompt_create(model, &prompt, &err);

  while (status >= 0 && printf("> ") && !fflush(stdout) && fgets(line, sizeof line, stdin)) {
    answer_size = 0;
    status = add_turn(prompt, "user", line, strcspn(line, "\n"), &err);
    if (status >= 0) status = junto_session_prefill(session, prompt, &err);
    if (status >= 0) status = junto_session_generate(session, on_chunk, NULL, &err);
    if (status >= 0) status = add_turn(prompt, "assistant", answer, answer_size, &err);
    puts(thinking ? "\033[0m" : "");
    thinking = 0;
  }

  if (status < 0) fprintf(stderr, "chat: %s\n", err.message);
  junto_prompt_release(prompt);
  junto_session_release(session);
  junto_model_release(model);
  junto_runtime_release(runtime);
  return status < 0;
}
