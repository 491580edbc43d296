import CJunto

/// Weights and tokenizer, for all threads.
public final class Model: @unchecked Sendable {
  let raw: OpaquePointer
  let services: Services?

  init(_ raw: OpaquePointer, _ services: Services?) {
    self.raw = raw
    self.services = services
  }

  deinit { junto_model_release(raw) }

  /// What the model is.
  public func info() throws -> junto_model_info {
    var info = junto_model_info()
    junto_model_info_init(&info, MemoryLayout<junto_model_info>.size)
    try check(junto_model_get_info(raw, &info))
    return info
  }

  /// A conversation. maxForks: how many forks may live beside it.
  public func session(contextTokens: UInt32 = 0, maxForks: UInt32 = 0) throws -> Session {
    var desc = junto_session_desc()
    junto_session_desc_init(&desc, MemoryLayout<junto_session_desc>.size)
    desc.context_tokens = contextTokens
    desc.max_forks = maxForks
    var out: OpaquePointer?
    try call { junto_session_create(raw, &desc, &out, $0) }
    return Session(out!, services)
  }

  public func prompt() throws -> Prompt {
    var out: OpaquePointer?
    try call { junto_prompt_create(raw, &out, $0) }
    return Prompt(out!, services)
  }
}

/// A whole context: turns, or text outside of turns. For one thread at a time.
public final class Prompt {
  let raw: OpaquePointer
  let services: Services?

  init(_ raw: OpaquePointer, _ services: Services?) {
    self.raw = raw
    self.services = services
  }

  deinit { junto_prompt_release(raw) }

  /// A whole turn of the system, the user or the assistant.
  public func turn(_ role: String, _ text: String) throws {
    try withText(role) { name, size in
      _ = try call { junto_prompt_begin_turn(raw, name, size, $0) }
    }
    defer { junto_prompt_end_turn(raw, nil) }
    try add(text)
  }

  public func add(_ text: String) throws {
    try withText(text) { data, size in
      _ = try call { junto_prompt_add_text(raw, data, size, $0) }
    }
  }

  /// The text that a session would be fed.
  public func render() throws -> String {
    let text = try fetch { junto_prompt_render(raw, $0?.assumingMemoryBound(to: CChar.self), $1, $2, $3) }
    return String(decoding: text, as: UTF8.self)
  }
}
