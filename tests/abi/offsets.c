/* The layout of every struct of junto.h on 64-bit systems and every number in it, frozen: a release
 * appends fields and values, it never moves, resizes or removes one. Compiling this is the test. */
#include "junto_table.h"

#define HOLDS(name, condition) typedef char name[(condition) ? 1 : -1]
#define SIZE(type, bytes) HOLDS(size_of_##type, sizeof(type) == (bytes))
#define FIELD(type, name, offset) HOLDS(type##_##name, offsetof(type, name) == (offset))
#define VALUE(name, value) HOLDS(value_of_##name, (int)(name) == (value))

SIZE(junto_error, 256);
FIELD(junto_error, struct_size, 0);
FIELD(junto_error, status, 4);
FIELD(junto_error, os_error, 8);
FIELD(junto_error, message_size, 12);
FIELD(junto_error, message, 16);

SIZE(junto_allocator, 32);
FIELD(junto_allocator, struct_size, 0);
FIELD(junto_allocator, flags, 4);
FIELD(junto_allocator, user, 8);
FIELD(junto_allocator, allocate, 16);
FIELD(junto_allocator, deallocate, 24);

SIZE(junto_executor, 32);
FIELD(junto_executor, struct_size, 0);
FIELD(junto_executor, flags, 4);
FIELD(junto_executor, worker_count, 8);
FIELD(junto_executor, reserved, 12);
FIELD(junto_executor, user, 16);
FIELD(junto_executor, parallel_for, 24);

SIZE(junto_io, 80);
FIELD(junto_io, struct_size, 0);
FIELD(junto_io, flags, 4);
FIELD(junto_io, user, 8);
FIELD(junto_io, open_file, 16);
FIELD(junto_io, read_at, 24);
FIELD(junto_io, map_range, 32);
FIELD(junto_io, unmap_range, 40);
FIELD(junto_io, close_file, 48);
FIELD(junto_io, create_file, 56);
FIELD(junto_io, write_at, 64);
FIELD(junto_io, finish_file, 72);

SIZE(junto_runtime_desc, 88);
FIELD(junto_runtime_desc, struct_size, 0);
FIELD(junto_runtime_desc, flags, 4);
FIELD(junto_runtime_desc, allocator, 8);
FIELD(junto_runtime_desc, executor, 16);
FIELD(junto_runtime_desc, io, 24);
FIELD(junto_runtime_desc, log, 32);
FIELD(junto_runtime_desc, log_user, 40);
FIELD(junto_runtime_desc, clock, 48);
FIELD(junto_runtime_desc, clock_user, 56);
FIELD(junto_runtime_desc, log_level, 64);
FIELD(junto_runtime_desc, max_threads, 68);
FIELD(junto_runtime_desc, isa_deny, 72);
FIELD(junto_runtime_desc, memory_limit, 80);

SIZE(junto_model_desc, 48);
FIELD(junto_model_desc, struct_size, 0);
FIELD(junto_model_desc, flags, 4);
FIELD(junto_model_desc, progress, 8);
FIELD(junto_model_desc, progress_user, 16);
FIELD(junto_model_desc, source, 24);
FIELD(junto_model_desc, source_size, 32);
FIELD(junto_model_desc, expert_budget, 40);

SIZE(junto_model_info, 112);
FIELD(junto_model_info, struct_size, 0);
FIELD(junto_model_info, flags, 4);
FIELD(junto_model_info, weight_bytes, 8);
FIELD(junto_model_info, decode_bytes, 16);
FIELD(junto_model_info, params_total, 24);
FIELD(junto_model_info, params_active, 32);
FIELD(junto_model_info, layers, 40);
FIELD(junto_model_info, width, 44);
FIELD(junto_model_info, vocab, 48);
FIELD(junto_model_info, context_max, 52);
FIELD(junto_model_info, experts, 56);
FIELD(junto_model_info, experts_used, 60);
FIELD(junto_model_info, bos, 64);
FIELD(junto_model_info, eos, 68);
FIELD(junto_model_info, architecture, 72);
FIELD(junto_model_info, expert_bytes, 104);

SIZE(junto_session_desc, 40);
FIELD(junto_session_desc, struct_size, 0);
FIELD(junto_session_desc, flags, 4);
FIELD(junto_session_desc, context_tokens, 8);
FIELD(junto_session_desc, prefill_chunk, 12);
FIELD(junto_session_desc, kv_dtype, 16);
FIELD(junto_session_desc, reserved, 20);
FIELD(junto_session_desc, checkpoint_bytes, 24);
FIELD(junto_session_desc, max_forks, 32);
FIELD(junto_session_desc, fork_tokens, 36);

SIZE(junto_sampling, 56);
FIELD(junto_sampling, struct_size, 0);
FIELD(junto_sampling, flags, 4);
FIELD(junto_sampling, seed, 8);
FIELD(junto_sampling, temperature, 16);
FIELD(junto_sampling, top_p, 20);
FIELD(junto_sampling, min_p, 24);
FIELD(junto_sampling, repeat_penalty, 28);
FIELD(junto_sampling, presence_penalty, 32);
FIELD(junto_sampling, frequency_penalty, 36);
FIELD(junto_sampling, top_k, 40);
FIELD(junto_sampling, penalty_window, 44);
FIELD(junto_sampling, max_new_tokens, 48);
FIELD(junto_sampling, reserved, 52);

SIZE(junto_chunk, 56);
FIELD(junto_chunk, struct_size, 0);
FIELD(junto_chunk, flags, 4);
FIELD(junto_chunk, session, 8);
FIELD(junto_chunk, text, 16);
FIELD(junto_chunk, text_size, 24);
FIELD(junto_chunk, tokens, 32);
FIELD(junto_chunk, token_count, 40);
FIELD(junto_chunk, channel, 48);
FIELD(junto_chunk, call, 52);

SIZE(junto_usage, 128);
FIELD(junto_usage, struct_size, 0);
FIELD(junto_usage, stop, 4);
FIELD(junto_usage, position, 8);
FIELD(junto_usage, prompt_tokens, 16);
FIELD(junto_usage, cached_tokens, 24);
FIELD(junto_usage, new_tokens, 32);
FIELD(junto_usage, prefill_ns, 40);
FIELD(junto_usage, decode_ns, 48);
FIELD(junto_usage, first_token_ns, 56);
FIELD(junto_usage, overshoot_max_ns, 64);
FIELD(junto_usage, prefill_joins, 72);
FIELD(junto_usage, decode_joins, 80);
FIELD(junto_usage, expert_hits, 88);
FIELD(junto_usage, expert_misses, 96);
FIELD(junto_usage, expert_foreseen, 104);
FIELD(junto_usage, expert_read_bytes, 112);
FIELD(junto_usage, expert_stall_ns, 120);

SIZE(junto_status, 4);
VALUE(JUNTO_OK, 0);
VALUE(JUNTO_YIELDED, 1);
VALUE(JUNTO_DONE, 2);
VALUE(JUNTO_CANCELLED, 3);
VALUE(JUNTO_E_INVALID, -1);
VALUE(JUNTO_E_MEMORY, -2);
VALUE(JUNTO_E_IO, -3);
VALUE(JUNTO_E_FORMAT, -4);
VALUE(JUNTO_E_UNSUPPORTED, -5);
VALUE(JUNTO_E_SHORT_BUFFER, -6);
VALUE(JUNTO_E_CONTEXT_FULL, -7);
VALUE(JUNTO_E_BUSY, -8);
VALUE(JUNTO_E_MISMATCH, -9);
VALUE(JUNTO_E_CALLBACK, -10);
VALUE(JUNTO_E_INTERNAL, -11);

SIZE(junto_tag, 4);
VALUE(JUNTO_TAG_INVALID, -1);
VALUE(JUNTO_TAG_OBJECT, 0);
VALUE(JUNTO_TAG_WEIGHTS, 1);
VALUE(JUNTO_TAG_KV, 2);
VALUE(JUNTO_TAG_SCRATCH, 3);
VALUE(JUNTO_TAG_TOKENIZER, 4);
VALUE(JUNTO_TAG_LOAD_TEMP, 5);
VALUE(JUNTO_TAG_THREAD, 6);
VALUE(JUNTO_TAG_EXTERNAL, 7);
VALUE(JUNTO_TAG_MAPPED, 8);

SIZE(junto_log_level, 4);
VALUE(JUNTO_LOG_INVALID, -1);
VALUE(JUNTO_LOG_OFF, 0);
VALUE(JUNTO_LOG_ERROR, 1);
VALUE(JUNTO_LOG_WARN, 2);
VALUE(JUNTO_LOG_INFO, 3);
VALUE(JUNTO_LOG_DEBUG, 4);

SIZE(junto_dtype, 4);
VALUE(JUNTO_DTYPE_INVALID, -1);
VALUE(JUNTO_DTYPE_AUTO, 0);
VALUE(JUNTO_F32, 1);
VALUE(JUNTO_F16, 2);
VALUE(JUNTO_BF16, 3);

SIZE(junto_stop, 4);
VALUE(JUNTO_STOP_INVALID, -1);
VALUE(JUNTO_STOP_NONE, 0);
VALUE(JUNTO_STOP_EOS, 1);
VALUE(JUNTO_STOP_TEXT, 2);
VALUE(JUNTO_STOP_LENGTH, 3);
VALUE(JUNTO_STOP_CONTEXT, 4);
VALUE(JUNTO_STOP_CALLBACK, 5);
VALUE(JUNTO_STOP_CANCELLED, 6);
VALUE(JUNTO_STOP_TOOL_CALL, 7);
SIZE(junto_channel, 4);
VALUE(JUNTO_CHANNEL_INVALID, -1);
VALUE(JUNTO_CHANNEL_CONTENT, 0);
VALUE(JUNTO_CHANNEL_REASONING, 1);
VALUE(JUNTO_CHANNEL_TOOL_NAME, 2);
VALUE(JUNTO_CHANNEL_TOOL_ARGUMENTS, 3);
VALUE(JUNTO_OUTPUT_REASONING, 1);
VALUE(JUNTO_OUTPUT_TOOL_CALLS, 2);
VALUE(JUNTO_OUTPUT_RAW, 4);

SIZE(junto_token, 4);
VALUE(JUNTO_MODEL_METADATA_ONLY, 0x1);
VALUE(JUNTO_MODEL_NO_MAP, 0x2);
VALUE(JUNTO_MODEL_YARN_TRUNCATE, 0x4);
VALUE(JUNTO_MODEL_KEEP_CACHE, 0x8);
VALUE(JUNTO_MODEL_FAST, 0x10);
VALUE(JUNTO_TOKENIZE_ADD_BOS, 0x1);
VALUE(JUNTO_TOKENIZE_PARSE_SPECIAL, 0x2);
VALUE(JUNTO_DETOKENIZE_SPECIAL, 0x1);
