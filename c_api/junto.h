#ifndef JUNTO_H_
#define JUNTO_H_
/* junto.h: run mixture-of-experts language models on the CPU, inside your own process.
 *
 *   junto_runtime *runtime;  junto_model *model;  junto_session *session;  junto_prompt *prompt;
 *   junto_runtime_create(NULL, &runtime, &err);               services: memory, threads, files, log
 *   junto_model_load(runtime, path, strlen(path), NULL, &model, &err);      weights and tokenizer
 *   junto_session_create(model, NULL, &session, &err);                one conversation: KV cache
 *   junto_prompt_create(model, &prompt, &err);
 *   junto_prompt_begin_turn(prompt, "user", 4);
 *   junto_prompt_add_text(prompt, text, strlen(text));
 *   junto_prompt_end_turn(prompt, &err);
 *   junto_session_prefill(session, prompt, &err);
 *   junto_session_generate(session, on_chunk, user, &err);    on_chunk receives text as it comes
 *
 * Language: C89 plus <stdint.h>; C++98. All text is UTF-8.
 * Threads:  [any] callable from any thread at any time. [one] one thread at a time per handle;
 *           misuse and re-entry give JUNTO_E_BUSY. Inside a stream or logits callback [any] calls
 *           are legal; inside log, allocator, file, clock, progress and task callbacks none are.
 * Status:   < 0 failed and changed nothing (E_SHORT_BUFFER still sets the size; a stream callback
 *           that fails ends its session's generation, as one that stops), 0 worked, > 0 stopped
 *           early on purpose.
 * Handles:  born with one reference; children keep parents alive, so any release order is legal.
 * Structs:  call *_init(&s, sizeof s) first. Fields are only ever appended, and an appended zero
 *           means "as before". A zero-filled struct with struct_size set is valid.
 * NULL:     legal for err, desc, dst, user and every release; elsewhere only at JUNTO_OPT.
 * Promises: nothing here throws, aborts, prints or reads the environment; all memory comes from
 *           the runtime's allocator; stepping never allocates. The same model, prompt and sampling
 *           give the same text for every thread count, batch, chunk size and time budget. */
#include <stddef.h>
#include <stdint.h>

#define JUNTO_VERSION_MAJOR 1
#define JUNTO_VERSION_MINOR 0
#define JUNTO_VERSION_PATCH 0

#if defined(_WIN32)
#define JUNTO_CALL __cdecl
#else
#define JUNTO_CALL
#endif
#if !defined(JUNTO_SHARED)
#define JUNTO_API
#elif !defined(_WIN32)
#define JUNTO_API __attribute__((visibility("default")))
#elif defined(JUNTO_BUILDING)
#define JUNTO_API __declspec(dllexport)
#else
#define JUNTO_API __declspec(dllimport)
#endif
#if !defined(JUNTO_OPT)
#define JUNTO_OPT /* marks pointers that may be NULL; bindings may define it */
#endif

#if defined(__cplusplus)
extern "C" {
#endif

typedef struct junto_runtime
    junto_runtime;                      /* allocator, executor, files, log: no process globals */
typedef struct junto_model junto_model; /* immutable weights and tokenizer, shared by threads */
typedef struct junto_session junto_session; /* one conversation: KV cache, sampler, pending text */
typedef struct junto_prompt junto_prompt;   /* the turns, text and tokens of a context */
typedef struct junto_batch junto_batch;     /* sessions of one model stepped together */
typedef int32_t junto_token;

/* ---- status and errors ------------------------------------------------------------------------
 * Every enum has a negative member and FORCE32, hence a signed 32-bit type under every ABI. */
typedef enum junto_status {
  JUNTO_OK = 0,
  JUNTO_YIELDED = 1,         /* the time budget is used up; step again to go on */
  JUNTO_DONE = 2,            /* generation ended; junto_usage.stop says why */
  JUNTO_CANCELLED = 3,       /* junto_session_cancel was observed */
  JUNTO_E_INVALID = -1,      /* an argument is out of range or text is not UTF-8 */
  JUNTO_E_MEMORY = -2,       /* the allocator, memory_limit or a full family said no */
  JUNTO_E_IO = -3,           /* a file could not be opened or read */
  JUNTO_E_FORMAT = -4,       /* a file's content is damaged or contradicts itself */
  JUNTO_E_UNSUPPORTED = -5,  /* valid, but not something this build can do */
  JUNTO_E_SHORT_BUFFER = -6, /* dst is too small; the needed size is set */
  JUNTO_E_CONTEXT_FULL = -7, /* the prompt does not fit context_tokens */
  JUNTO_E_BUSY = -8,         /* another call on this handle is running */
  JUNTO_E_MISMATCH = -9,     /* handles or data of different models or runtimes were mixed */
  JUNTO_E_CALLBACK = -10,    /* a callback of yours reported failure */
  JUNTO_E_INTERNAL = -11,    /* a bug in Junto; please report the message */
  JUNTO_STATUS_FORCE32 = 0x7FFFFFFF
} junto_status;

/* Caller-owned, so it needs no allocation and no thread-local state. */
typedef struct junto_error {
  uint32_t struct_size;
  junto_status status;
  int32_t os_error;      /* errno of a failed file operation, else 0 */
  uint32_t message_size; /* bytes of message before its NUL */
  char message[240];     /* one line that states a fact and a number */
} junto_error;

JUNTO_API uint32_t JUNTO_CALL
junto_version(void); /* [any] major<<16 | minor<<8 | patch, as loaded */
JUNTO_API const char* JUNTO_CALL junto_build_info(void); /* [any] static text for bug reports */
JUNTO_API const char* JUNTO_CALL
junto_status_name(junto_status s); /* [any] static text, never NULL */
JUNTO_API void JUNTO_CALL junto_error_init(junto_error* e, size_t size);

/* ---- runtime: the services of the host --------------------------------------------------------*/
typedef enum junto_tag {
  JUNTO_TAG_INVALID = -1,
  JUNTO_TAG_OBJECT = 0, /* handles and metadata */
  JUNTO_TAG_WEIGHTS = 1,
  JUNTO_TAG_KV = 2,      /* keys and values */
  JUNTO_TAG_SCRATCH = 3, /* activations of a pass */
  JUNTO_TAG_TOKENIZER = 4,
  JUNTO_TAG_LOAD_TEMP = 5, /* taken and freed while a model loads */
  JUNTO_TAG_THREAD = 6,    /* bookkeeping of Junto's own threads */
  JUNTO_TAG_EXTERNAL = 7,  /* reported, not routed: what a library took behind the allocator */
  JUNTO_TAG_MAPPED = 8,    /* reported, not routed: files used in place; in no sum and no limit */
  JUNTO_TAG_FORCE32 = 0x7FFFFFFF
} junto_tag;

/* allocate returns NULL to refuse. Called from any thread; alignment is a power of two, size > 0.
 */
typedef struct junto_allocator {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  void* user;
  void*(JUNTO_CALL* allocate)(void* user, size_t size, size_t alignment, junto_tag tag);
  void(JUNTO_CALL* deallocate)(void* user, void* p, size_t size, size_t alignment, junto_tag tag);
} junto_allocator;

typedef void(JUNTO_CALL* junto_task_fn)(void* task, uint32_t index, uint32_t worker);

/* parallel_for calls fn once per index in [0, count), on a worker index < worker_count that no
 * other thread uses meanwhile, and returns after the last. Tasks never block, allocate or nest. */
typedef struct junto_executor {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  uint32_t worker_count;
  uint32_t reserved; /* 0 */
  void* user;
  junto_status(JUNTO_CALL* parallel_for)(void* user, uint32_t count, junto_task_fn fn, void* task);
} junto_executor;

/* read_at is positional, reads all of size or fails, and may run on many threads at once. A mapping
 * may start at any address; that of a packed file is all of it, is read by every thread that works,
 * and ends, with unmap_range and then close_file, with the model. Names are opaque keys that only open_file interprets. */
typedef struct junto_io {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  void* user;
  junto_status(JUNTO_CALL* open_file)(void* user, const char* name, size_t name_size, void** file,
                                      uint64_t* size);
  junto_status(JUNTO_CALL* read_at)(void* user, void* file, uint64_t offset, void* dst,
                                    size_t size);
  junto_status(JUNTO_CALL* JUNTO_OPT map_range)(void* user, void* file, uint64_t offset,
                                                size_t size, const void** p);
  void(JUNTO_CALL* JUNTO_OPT unmap_range)(void* user, void* file, const void* p, size_t size);
  void(JUNTO_CALL* close_file)(void* user, void* file);
  /* For junto_model_pack alone. A new file is written at any offsets, by one thread, and finished
   * once: keep 1 gives it its name, in one step and in place of what has that name; keep 0, or a
   * failure, leaves nothing of it. */
  junto_status(JUNTO_CALL* JUNTO_OPT create_file)(void* user, const char* name, size_t name_size,
                                                  void** file);
  junto_status(JUNTO_CALL* JUNTO_OPT write_at)(void* user, void* file, uint64_t offset,
                                               const void* src, size_t size);
  junto_status(JUNTO_CALL* JUNTO_OPT finish_file)(void* user, void* file, uint32_t keep);
} junto_io;

typedef enum junto_log_level {
  JUNTO_LOG_INVALID = -1,
  JUNTO_LOG_OFF = 0,
  JUNTO_LOG_ERROR = 1,
  JUNTO_LOG_WARN = 2,
  JUNTO_LOG_INFO = 3,
  JUNTO_LOG_DEBUG = 4,
  JUNTO_LOG_FORCE32 = 0x7FFFFFFF
} junto_log_level;
typedef void(JUNTO_CALL* junto_log_fn)(void* user, junto_log_level level, const char* text,
                                       size_t size);
typedef uint64_t(JUNTO_CALL* junto_clock_fn)(void* user); /* monotonic nanoseconds */

/* Nothing is taken behind the allocator, from here to the last release: no JIT (JUNTO_MODEL_FAST is
 * E_UNSUPPORTED), no thread of Junto's own (bring an executor, or set max_threads to 1), files of
 * the system are read, not mapped. Only what the C++ runtime throws when memory is refused remains. */
#define JUNTO_RUNTIME_STRICT_MEMORY 0x1u

/* Absent services: aligned malloc, Junto's own threads (parked when idle), OS files, silence. */
typedef struct junto_runtime_desc {
  uint32_t struct_size;
  uint32_t flags; /* JUNTO_RUNTIME_* */
  const junto_allocator* JUNTO_OPT allocator;
  const junto_executor* JUNTO_OPT executor;
  const junto_io* JUNTO_OPT io;
  junto_log_fn JUNTO_OPT log;
  void* log_user;
  junto_clock_fn JUNTO_OPT clock;
  void* clock_user;
  junto_log_level log_level;
  uint32_t max_threads;  /* of Junto's own threads, the caller included; 0 = one per core */
  uint64_t isa_deny;     /* Highway target bits that must not be used; 0 = none */
  uint64_t memory_limit; /* bytes over all tags; 0 = none; beyond it calls give E_MEMORY */
} junto_runtime_desc;

JUNTO_API void JUNTO_CALL junto_runtime_desc_init(junto_runtime_desc* d, size_t size);
JUNTO_API junto_status JUNTO_CALL junto_runtime_create(const junto_runtime_desc* JUNTO_OPT desc,
                                                       junto_runtime** out,
                                                       junto_error* JUNTO_OPT err); /* [any] */
JUNTO_API void JUNTO_CALL junto_runtime_release(junto_runtime* r);                  /* [any] */
/* [any] Bytes in use and the most ever in use under a tag; JUNTO_TAG_INVALID asks for the sum, in
 * which MAPPED does not count: the system keeps or drops those pages as it likes. */
JUNTO_API junto_status JUNTO_CALL junto_runtime_memory(const junto_runtime* r, junto_tag tag,
                                                       uint64_t* current, uint64_t* peak);

/* ---- models -----------------------------------------------------------------------------------*/
#define JUNTO_MODEL_METADATA_ONLY 0x1u /* tokenizer, info and plan without weights: no sessions */
#define JUNTO_MODEL_NO_MAP 0x2u        /* read files, never map them: for files that others may cut or
                                        * change meanwhile, which ends a process that maps them */
#define JUNTO_MODEL_YARN_TRUNCATE \
  0x4u /* gpt-oss: round YaRN's bounds as llama.cpp does, to compare */
#define JUNTO_MODEL_KEEP_CACHE \
  0x8u /* leave a large file in the system's cache, not just its weights in memory */
/* Prompts of models whose weights are F32, F16 or BF16 may go through oneDNN, with results that are
 * as close but no longer the same bits always: they vary with how a prompt is cut and what else
 * runs. Buffers of OBJECT that no plan counts, and some memory behind the allocator, which EXTERNAL
 * does not count either. E_UNSUPPORTED where the library was built without it. */
#define JUNTO_MODEL_FAST 0x10u

typedef junto_status(JUNTO_CALL* junto_progress_fn)(void* user, uint64_t done,
                                                    uint64_t total); /* < 0 abandons */

typedef struct junto_model_desc {
  uint32_t struct_size;
  uint32_t flags;                       /* JUNTO_MODEL_* */
  junto_progress_fn JUNTO_OPT progress; /* bytes of weights, on the calling thread */
  void* progress_user;
  const char* JUNTO_OPT source; /* packed files: the model this must be of, else E_MISMATCH */
  size_t source_size;
  /* Packed files of models with experts: as many of them are in memory as these bytes hold, under
   * WEIGHTS, and the others are read when a token needs them, through io.read_at from threads of
   * Junto's own, which end with the model. All other weights are read when loading. The results are
   * the same bits. Too few for the experts of one token: E_INVALID, which says how many it takes.
   * 0: all weights are in memory or mapped. */
  uint64_t expert_budget;
} junto_model_desc;

typedef struct junto_model_info {
  uint32_t struct_size;
  uint32_t flags;        /* 0 */
  uint64_t weight_bytes; /* in memory, or mapped */
  uint64_t decode_bytes; /* of weights that one decoded token reads */
  uint64_t params_total;
  uint64_t params_active; /* that one token uses, the input embedding not counted */
  uint32_t layers;
  uint32_t width;
  uint32_t vocab;
  uint32_t context_max;
  uint32_t experts; /* of a layer that has them; 0 for dense models */
  uint32_t experts_used;
  junto_token bos; /* -1 where there is none */
  junto_token eos;
  char architecture[32]; /* NUL-terminated, as the file says */
  uint64_t expert_bytes; /* the expert_budget that holds all experts; 0 for dense models */
} junto_model_info;

JUNTO_API void JUNTO_CALL junto_model_desc_init(junto_model_desc* d, size_t size);
JUNTO_API void JUNTO_CALL junto_model_info_init(junto_model_info* i, size_t size);
/* [any] name: a GGUF file, of a split model the first one; a packed file; or a directory of Hugging
 * Face, config.json beside files safetensors, by the name of its config.json or by its own, which is
 * then no file that opens. Other files of a model have the same name up to its last part: behind the
 * last '/' or '\\', or, of a split GGUF, the number. open_file refuses those that are not there;
 * of a directory tokenizer.json or else tokenizer.model, tokenizer_config.json,
 * generation_config.json, chat_template.jinja and model.safetensors.index.json need not be. */
JUNTO_API junto_status JUNTO_CALL junto_model_load(junto_runtime* r, const char* name,
                                                   size_t name_size,
                                                   const junto_model_desc* JUNTO_OPT desc,
                                                   junto_model** out,
                                                   junto_error* JUNTO_OPT err); /* [any] */
JUNTO_API junto_status JUNTO_CALL junto_model_load_memory(
    junto_runtime* r, const void* data, uint64_t size, const junto_model_desc* JUNTO_OPT desc,
    junto_model** out,
    junto_error* JUNTO_OPT err); /* [any] data is borrowed until the call returns */
/* [any] Writes the model `name` as the packed file `packed`, which replaces a packed file of that name
 * when all of it is written; E_INVALID if the name is another file's. A failure leaves nothing behind. Memory is taken for a piece at a time.
 * Loading a packed file maps it and uses its weights in place; it depends on this build's layout of
 * weights and is refused by others. Of desc count progress and the flags NO_MAP and KEEP_CACHE. */
JUNTO_API junto_status JUNTO_CALL junto_model_pack(junto_runtime* r, const char* name,
                                                   size_t name_size, const char* packed,
                                                   size_t packed_size,
                                                   const junto_model_desc* JUNTO_OPT desc,
                                                   junto_error* JUNTO_OPT err);
JUNTO_API void JUNTO_CALL junto_model_retain(junto_model* m);  /* [any] */
JUNTO_API void JUNTO_CALL junto_model_release(junto_model* m); /* [any] */
JUNTO_API junto_status JUNTO_CALL junto_model_get_info(const junto_model* m,
                                                       junto_model_info* out); /* [any] */
/* [any] A metadata value of the file as text, NUL-terminated; size excludes the NUL. Arrays give
 * their element count. dst NULL asks for the size; an unknown key is E_INVALID. */
JUNTO_API junto_status JUNTO_CALL junto_model_get_meta(const junto_model* m, const char* key,
                                                       size_t key_size, char* dst, size_t capacity,
                                                       size_t* size);

/* ---- text and tokens ---------------------------------------------------------------------------
 * E_UNSUPPORTED on models whose file carries no vocabulary. */
#define JUNTO_TOKENIZE_ADD_BOS 0x1u /* as the model's own tokenizer would */
#define JUNTO_TOKENIZE_PARSE_SPECIAL                                                          \
  0x2u                                /* "<|im_end|>" becomes the control token, not its text \
                                       */
#define JUNTO_DETOKENIZE_SPECIAL 0x1u /* control tokens become their text, not nothing */

/* [any] dst NULL asks for the count. */
JUNTO_API junto_status JUNTO_CALL junto_tokenize(const junto_model* m, const char* text,
                                                 size_t text_size, uint32_t flags, junto_token* dst,
                                                 size_t capacity, size_t* count,
                                                 junto_error* JUNTO_OPT err);
/* [any] Raw bytes, which may start or end inside a code point; dst NULL asks for the size. */
JUNTO_API junto_status JUNTO_CALL junto_detokenize(const junto_model* m, const junto_token* tokens,
                                                   size_t count, uint32_t flags, char* dst,
                                                   size_t capacity, size_t* size,
                                                   junto_error* JUNTO_OPT err);

/* ---- prompts -----------------------------------------------------------------------------------
 * A prompt is a whole context: turns in the model's chat markup, or plain text and tokens outside
 * of turns. Text of turns never becomes control tokens; plain text does only through add_tokens.
 * Keep the prompt, add turns as the conversation goes on, and prefill it again: a session reuses
 * all that it already holds. Calls on one prompt are [one]. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_create(junto_model* m, junto_prompt** out,
                                                      junto_error* JUNTO_OPT err); /* [any] */
JUNTO_API void JUNTO_CALL junto_prompt_release(junto_prompt* p);
/* Variables, before the first turn: those that the model's chat template asks for, such as
 * "enable_thinking" = "false", or "reasoning_effort" = "low" with gpt-oss; "current_date" =
 * "2026-01-31", which no template can know otherwise. A value that is JSON (true, 3, ["a"]) is what
 * JSON says, any other is a string. E_INVALID for what the template does not mention. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_set_variable(junto_prompt* p, const char* key,
                                                            size_t key_size, const char* value,
                                                            size_t value_size,
                                                            junto_error* JUNTO_OPT err);
/* A JSON array of the functions that the model may call, before the first turn: each is {"name",
 * "description", "parameters": JSON Schema}, or that as "function" of {"type": "function"}. Where
 * a model's calls have no types, the schemas say which arguments are strings. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_set_tools(junto_prompt* p, const char* json,
                                                         size_t size, junto_error* JUNTO_OPT err);
/* A Jinja chat template instead of the model's own, before the first turn. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_set_template(junto_prompt* p, const char* source,
                                                            size_t size,
                                                            junto_error* JUNTO_OPT err);
/* role: "system", "developer", "user", "assistant" or "tool", whose text is the result of a call:
 * results come in the order of calls. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_begin_turn(junto_prompt* p, const char* role,
                                                          size_t size, junto_error* JUNTO_OPT err);
/* Begins a tool's turn whose result is of a call of that name. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_begin_tool_turn(junto_prompt* p, const char* name,
                                                               size_t size,
                                                               junto_error* JUNTO_OPT err);
/* Inside an assistant's turn: what it thought before its text. Templates leave out what the model
 * is not to see again. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_add_reasoning(junto_prompt* p, const char* text,
                                                             size_t size,
                                                             junto_error* JUNTO_OPT err);
/* Inside an assistant's turn: a call, in order. arguments: a JSON object; of tools that gpt-oss's
 * variable "builtin_tools" names any text. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_add_tool_call(junto_prompt* p, const char* name,
                                                             size_t name_size,
                                                             const char* arguments,
                                                             size_t arguments_size,
                                                             junto_error* JUNTO_OPT err);
/* Renders and encodes. E_INVALID with the template's own line where it does not take the turn,
 * which stays open; of turns that something must follow prefill and render tell it instead. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_end_turn(junto_prompt* p,
                                                        junto_error* JUNTO_OPT err);
JUNTO_API junto_status JUNTO_CALL junto_prompt_add_text(junto_prompt* p, const char* text,
                                                        size_t size, junto_error* JUNTO_OPT err);
JUNTO_API junto_status JUNTO_CALL
junto_prompt_add_tokens(junto_prompt* p, const junto_token* tokens, size_t count,
                        junto_error* JUNTO_OPT err); /* outside of turns */
/* The text that prefill would feed, control tokens spelled out and the assistant's turn opened
 * where the last turn is not the assistant's. dst NULL asks for the size; not NUL-terminated. */
JUNTO_API junto_status JUNTO_CALL junto_prompt_render(const junto_prompt* p, char* dst,
                                                      size_t capacity, size_t* size,
                                                      junto_error* JUNTO_OPT err);

/* ---- sessions
 * ----------------------------------------------------------------------------------*/
typedef enum junto_dtype {
  JUNTO_DTYPE_INVALID = -1,
  JUNTO_DTYPE_AUTO = 0, /* F16 */
  JUNTO_F32 = 1,
  JUNTO_F16 = 2,
  JUNTO_BF16 = 3,
  JUNTO_DTYPE_FORCE32 = 0x7FFFFFFF
} junto_dtype;

typedef struct junto_session_desc {
  uint32_t struct_size;
  uint32_t flags;          /* 0 */
  uint32_t context_tokens; /* 0 = 4096, or the model's maximum where that is less */
  uint32_t prefill_chunk;  /* tokens per pass; 0 = 512 */
  junto_dtype kv_dtype;
  uint32_t reserved; /* 0 */
  /* Models with recurrent layers (Qwen3.5, Qwen3-Next) cannot cut their state back, only return to
   * a checkpoint. One is taken of every prompt, where its last turn begins, and one where its first
   * user's turn does; as many are kept as fit so many bytes, 8 at most, under KV: the latest, then
   * that of the first user's turn, then others, the later before the earlier. 0 = 512 MiB; fewer
   * than one takes: none. Other models ignore it. */
  uint64_t checkpoint_bytes;
  /* Forks that may live beside the session at the same time, at most 4096, and how many tokens each
   * may hold beside what it shares with the others; 0 = context_tokens. Their room is part of the
   * plan: scratch for each, keys and values for its own tokens, and as many checkpoints again. */
  uint32_t max_forks;
  uint32_t fork_tokens;
} junto_session_desc;

typedef struct junto_sampling {
  uint32_t struct_size;
  uint32_t flags;          /* 0 */
  uint64_t seed;           /* the same seed replays the same text */
  float temperature;       /* 0 = greedy */
  float top_p;             /* 0 or 1 = off */
  float min_p;             /* 0 = off */
  float repeat_penalty;    /* 0 or 1 = off; divides positive and multiplies negative logits */
  float presence_penalty;  /* 0 = off */
  float frequency_penalty; /* 0 = off */
  uint32_t top_k;          /* 0 = off */
  uint32_t penalty_window; /* last tokens that penalties look at; 0 = 64 */
  uint32_t max_new_tokens; /* per generation; 0 = until the context is full */
  uint32_t reserved;       /* 0 */
} junto_sampling;

JUNTO_API void JUNTO_CALL junto_session_desc_init(junto_session_desc* d, size_t size);
JUNTO_API void JUNTO_CALL junto_sampling_init(junto_sampling* s, size_t size); /* greedy */
/* [any] The bytes that a session of this shape takes under KV, SCRATCH and OBJECT, forks included
 * (OBJECT as they are made); under WEIGHTS, MAPPED, TOKENIZER and LOAD_TEMP what loading the model
 * takes. Exact, and known before weights are loaded. */
JUNTO_API junto_status JUNTO_CALL junto_session_plan(const junto_model* m,
                                                     const junto_session_desc* JUNTO_OPT desc,
                                                     junto_tag tag, uint64_t* bytes,
                                                     junto_error* JUNTO_OPT err);
JUNTO_API junto_status JUNTO_CALL junto_session_create(junto_model* m,
                                                       const junto_session_desc* JUNTO_OPT desc,
                                                       junto_session** out,
                                                       junto_error* JUNTO_OPT err); /* [any] */
JUNTO_API void JUNTO_CALL junto_session_release(junto_session* s);                  /* [one] */
/* [one] Another session that goes on from here by itself: the same context, sampling, stops, biases
 * and pending text. Keys, values and recurrent states are shared until one of the two changes them,
 * so forking copies none. A fork may be forked; the memory of all ends with the last of them. They
 * may run on different threads at once. E_MEMORY when max_forks of them live already. Sessions of a
 * family that hold more tokens apart than fork_tokens says may run out of pages: then the step that
 * needs one answers E_MEMORY, changes nothing, and works again when another gave some back. */
JUNTO_API junto_status JUNTO_CALL junto_session_fork(junto_session* s, junto_session** out,
                                                     junto_error* JUNTO_OPT err);
/* [one] Makes the first `position` tokens the context, as if they had been the prompt: the next
 * step continues them. What a window's ring or a recurrent layer no longer remembers is computed
 * anew. 0 empties the session; beyond the tokens there are is E_INVALID. */
JUNTO_API junto_status JUNTO_CALL junto_session_rewind(junto_session* s, uint64_t position,
                                                       junto_error* JUNTO_OPT err);
JUNTO_API junto_status JUNTO_CALL junto_session_set_sampling(
    junto_session* s, const junto_sampling* p, junto_error* JUNTO_OPT err); /* [one] */
/* [one] Generation ends before `text`, which is not emitted. At most 16 stops of 128 bytes. */
JUNTO_API junto_status JUNTO_CALL junto_session_add_stop(junto_session* s, const char* text,
                                                         size_t size, junto_error* JUNTO_OPT err);

/* [one] All of a session as bytes that any process may restore: tokens, keys, values and states,
 * sampling, stops, biases, pending text, usage. Work on an unfinished token is not part of it. dst
 * NULL asks for the size; the same session gives the same bytes. */
JUNTO_API junto_status JUNTO_CALL junto_session_snapshot(junto_session* s, void* dst,
                                                         size_t capacity, size_t* size,
                                                         junto_error* JUNTO_OPT err);
/* [one] Goes on where the session of a snapshot stood, with the same text, whatever the threads
 * and prefill_chunk. E_MISMATCH for one of another model, context_tokens or kv_dtype or of another
 * version of snapshots, E_FORMAT for one that is damaged, E_MEMORY when forks hold the pages for
 * it; all leave the session as it was. */
JUNTO_API junto_status JUNTO_CALL junto_session_restore(junto_session* s, const void* data,
                                                        size_t size, junto_error* JUNTO_OPT err);
/* [one] Adds biases[i] to the logit of tokens[i], before penalties, for all tokens to come;
 * -INFINITY bans one. Replaces what was set; count 0 clears it. At most 1024. */
JUNTO_API junto_status JUNTO_CALL junto_session_set_bias(junto_session* s,
                                                         const junto_token* tokens,
                                                         const float* biases, size_t count,
                                                         junto_error* JUNTO_OPT err);

/* ---- running: callbacks run on the thread that called step or generate, never on a worker
 * ------*/
typedef enum junto_stop {
  JUNTO_STOP_INVALID = -1,
  JUNTO_STOP_NONE = 0,      /* not ended yet */
  JUNTO_STOP_EOS = 1,       /* the model ended its turn */
  JUNTO_STOP_TEXT = 2,      /* a stop text was reached */
  JUNTO_STOP_LENGTH = 3,    /* max_new_tokens */
  JUNTO_STOP_CONTEXT = 4,   /* the context is full */
  JUNTO_STOP_CALLBACK = 5,  /* the stream callback stopped it or failed */
  JUNTO_STOP_CANCELLED = 6, /* junto_session_cancel */
  JUNTO_STOP_TOOL_CALL = 7, /* the model ended its turn, in which it called tools: answer them.
                             * Only where calls are wanted, else EOS. */
  JUNTO_STOP_FORCE32 = 0x7FFFFFFF
} junto_stop;

/* What a model's output consists of. Its markup tells the parts apart, and is none of them. */
typedef enum junto_channel {
  JUNTO_CHANNEL_INVALID = -1,
  JUNTO_CHANNEL_CONTENT = 0,        /* the answer */
  JUNTO_CHANNEL_REASONING = 1,      /* what the model thinks before it answers */
  JUNTO_CHANNEL_TOOL_NAME = 2,      /* the name of a tool that it calls */
  JUNTO_CHANNEL_TOOL_ARGUMENTS = 3, /* and, piece by piece, its arguments: a JSON object */
  JUNTO_CHANNEL_FORCE32 = 0x7FFFFFFF
} junto_channel;

/* What a session gives besides content. What nobody asked for is left out; its tokens are still in
 * the chunks, so a caller that knows nothing of channels sees answers and nothing else. */
#define JUNTO_OUTPUT_REASONING 0x1u
#define JUNTO_OUTPUT_TOOL_CALLS 0x2u
#define JUNTO_OUTPUT_RAW 0x4u /* nothing is told apart: all text is content, tags as well */

/* Library-owned, valid during the callback. text holds whole code points of one channel and one
 * call, and may be empty. Tokens may come before their text. */
typedef struct junto_chunk {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  junto_session* session;
  const char* text;
  size_t text_size;
  const junto_token* tokens;
  size_t token_count;
  junto_channel channel;
  uint32_t call; /* of the TOOL channels: which call of this answer, from 0 on */
} junto_chunk;
typedef junto_status(JUNTO_CALL* junto_stream_fn)(
    void* user, const junto_chunk* chunk); /* 0 on, > 0 stop, < 0 fail */

/* [one] Makes the prompt the session's context: what it shares with the tokens already held is
 * kept, with recurrent layers up to a checkpoint, the rest is queued for step to do. E_CONTEXT_FULL
 * leaves the session as it was. */
JUNTO_API junto_status JUNTO_CALL junto_session_prefill(junto_session* s, const junto_prompt* p,
                                                        junto_error* JUNTO_OPT err);
/* [one] Works for about budget_ns, in the middle of a token if need be. YIELDED, DONE, CANCELLED or
 * < 0. With fn NULL text waits for junto_session_read. */
JUNTO_API junto_status JUNTO_CALL junto_session_step(junto_session* s, uint64_t budget_ns,
                                                     junto_stream_fn JUNTO_OPT fn, void* user,
                                                     junto_error* JUNTO_OPT err);
/* [one] step without a budget: DONE, CANCELLED or < 0; YIELDED when fn is NULL and text must be
 * read. */
JUNTO_API junto_status JUNTO_CALL junto_session_generate(junto_session* s,
                                                         junto_stream_fn JUNTO_OPT fn, void* user,
                                                         junto_error* JUNTO_OPT err);
/* [one] Takes pending text, whole code points of one channel only; *size is what was written. */
JUNTO_API junto_status JUNTO_CALL junto_session_read(junto_session* s, char* dst, size_t capacity,
                                                     size_t* size);
JUNTO_API void JUNTO_CALL
junto_session_cancel(junto_session* s); /* [any] one atomic store, sticky until observed */
/* The next step observes it, within a piece of a tile, and answers CANCELLED: one that has work
 * ends its generation, at the last token that is complete; one that has none only clears it. So a cancel
 * that comes when a generation has just ended meets the next: step once before prefill to be rid of
 * it. A batch observes the cancels of its sessions where each of its steps begins. */

/* [one] Runs the prompt that prefill queued and hands the logits of every position that was
 * computed to fn, in order; position is that of the input token. A return < 0 abandons, > 0 stops.
 * Nothing is generated afterwards until another prefill. */
typedef junto_status(JUNTO_CALL* junto_logits_fn)(void* user, uint64_t position,
                                                  const float* logits, size_t vocab);
JUNTO_API junto_status JUNTO_CALL junto_session_evaluate(junto_session* s, junto_logits_fn fn,
                                                         void* user, junto_error* JUNTO_OPT err);

/* [one] flags: JUNTO_OUTPUT_*, from the next prefill on; 0, as a session begins, is content alone.
 * Arguments that are not whole JSON when the next call or the end comes are of a call that was cut
 * off or malformed; what is malformed otherwise comes out as content. Stop texts end content. */
JUNTO_API junto_status JUNTO_CALL junto_session_set_output(junto_session* s, uint32_t flags,
                                                           junto_error* JUNTO_OPT err);
JUNTO_API void JUNTO_CALL junto_chunk_init(junto_chunk* c, size_t size);
/* [one] junto_session_read that says what it reads: fills chunk but for its tokens, with dst as its
 * text. DONE when nothing is pending, E_SHORT_BUFFER when dst takes no code point. */
JUNTO_API junto_status JUNTO_CALL junto_session_read_chunk(junto_session* s, char* dst,
                                                           size_t capacity, junto_chunk* chunk);

typedef struct junto_usage {
  uint32_t struct_size;
  junto_stop stop;
  uint64_t position;         /* tokens held */
  uint64_t prompt_tokens;    /* of the last prefill */
  uint64_t cached_tokens;    /* of those, already held */
  uint64_t new_tokens;       /* generated since */
  uint64_t prefill_ns;       /* time inside step for the prompt */
  uint64_t decode_ns;        /* time inside step for new tokens */
  uint64_t first_token_ns;   /* time inside step until the first new token */
  uint64_t overshoot_max_ns; /* most by which a step passed its budget */
  uint64_t prefill_joins;    /* how often workers met, each waiting for the last: for the prompt */
  uint64_t decode_joins;     /* and for new tokens */
  /* With an expert_budget, of the passes of this session (and of others in its batch): */
  uint64_t expert_hits;       /* experts that were in memory when a pass came to them */
  uint64_t expert_misses;     /* experts that were not */
  uint64_t expert_foreseen;   /* of both, those that had been predicted one layer before */
  uint64_t expert_read_bytes; /* of experts; what sessions share is counted for one of them */
  uint64_t expert_stall_ns;   /* waited for experts with nothing to compute */
} junto_usage;
JUNTO_API void JUNTO_CALL junto_usage_init(junto_usage* u, size_t size);
JUNTO_API junto_status JUNTO_CALL junto_session_get_usage(const junto_session* s,
                                                          junto_usage* out); /* [one] */

/* ---- batches: sessions of one model share each pass; every text is what it would be alone
 * ------*/
/* [any] The bytes that a batch takes, under OBJECT and SCRATCH, its sessions not counted. */
JUNTO_API junto_status JUNTO_CALL junto_batch_plan(const junto_model* m, uint32_t max_sessions,
                                                   uint32_t max_tokens_per_pass, junto_tag tag,
                                                   uint64_t* bytes, junto_error* JUNTO_OPT err);
JUNTO_API junto_status JUNTO_CALL
junto_batch_create(junto_model* m, uint32_t max_sessions, uint32_t max_tokens_per_pass,
                   junto_batch** out, junto_error* JUNTO_OPT err); /* [any] 0 tokens = 512 */
JUNTO_API void JUNTO_CALL junto_batch_release(junto_batch* b);     /* [one] its sessions stay */
JUNTO_API junto_status JUNTO_CALL junto_batch_add(junto_batch* b, junto_session* s,
                                                  junto_error* JUNTO_OPT err); /* [one] */
JUNTO_API junto_status JUNTO_CALL junto_batch_remove(junto_batch* b, junto_session* s,
                                                     junto_error* JUNTO_OPT err); /* [one] */
/* [one] One or more passes over every session that has work. DONE when none has; a session that
 * ends, fails or is cancelled leaves the others alone (see junto_usage.stop); the first failure of
 * a stream callback is returned when the pass is complete. junto_chunk.session tells whose text. */
JUNTO_API junto_status JUNTO_CALL junto_batch_step(junto_batch* b, uint64_t budget_ns,
                                                   junto_stream_fn JUNTO_OPT fn, void* user,
                                                   junto_error* JUNTO_OPT err);

#if defined(__cplusplus)
}
#endif
#endif
