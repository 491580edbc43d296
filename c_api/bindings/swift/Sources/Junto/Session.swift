import CJunto

/// Why work stopped.
public enum Outcome {
  /// The time is used up: step again.
  case yielded
  /// The generation ended; `usage().stop` says why.
  case done
  case cancelled

  init(_ status: junto_status) {
    switch status {
    case JUNTO_YIELDED: self = .yielded
    case JUNTO_CANCELLED: self = .cancelled
    default: self = .done
    }
  }
}

/// A piece of what a model says.
public struct Chunk {
  public let text: String
  /// The answer, reasoning, or a part of a tool call.
  public let channel: junto_channel
  /// Which of the tool calls of this answer, from 0 on.
  public let call: UInt32
}

/// One conversation, for one thread at a time; cancel alone is for all.
public final class Session: @unchecked Sendable {
  let raw: OpaquePointer
  let services: Services?

  init(_ raw: OpaquePointer, _ services: Services?) {
    self.raw = raw
    self.services = services
  }

  deinit { junto_session_release(raw) }

  /// change receives the sampling of junto.h with everything off.
  public func setSampling(_ change: (inout junto_sampling) -> Void) throws {
    var sampling = junto_sampling()
    junto_sampling_init(&sampling, MemoryLayout<junto_sampling>.size)
    change(&sampling)
    try call { junto_session_set_sampling(raw, &sampling, $0) }
  }

  /// Generations end before this text.
  public func addStop(_ text: String) throws {
    try withText(text) { data, size in
      _ = try call { junto_session_add_stop(raw, data, size, $0) }
    }
  }

  /// What generate gives besides the answer: the flags of junto.h, from the next prefill on.
  public func setOutput(_ flags: UInt32) throws {
    try call { junto_session_set_output(raw, flags, $0) }
  }

  /// Queues a prompt, less what the session holds of it already.
  public func prefill(_ prompt: Prompt) throws {
    try withExtendedLifetime(prompt) {
      _ = try call { junto_session_prefill(raw, prompt.raw, $0) }
    }
  }

  /// Works for about so long, in the middle of a token if need be. Text waits for read().
  public func step(nanoseconds: UInt64) throws -> Outcome {
    Outcome(try call { junto_session_step(raw, nanoseconds, nil, nil, $0) })
  }

  /// Takes the text that is pending.
  public func read() throws -> String {
    var text: [UInt8] = []
    var buffer = [CChar](repeating: 0, count: 256)
    while true {
      var size = 0
      try check(junto_session_read(raw, &buffer, buffer.count, &size))
      if size == 0 { return String(decoding: text, as: UTF8.self) }
      text += buffer[..<size].map { UInt8(bitPattern: $0) }
    }
  }

  /// Hands the answer to `hear` as it comes, on this thread. What `hear` throws ends it.
  @discardableResult
  public func generate(_ hear: (Chunk) throws -> Void) throws -> Outcome {
    try withoutActuallyEscaping(hear) { hear in
      let listener = Listener(hear)
      let user = Unmanaged.passUnretained(listener).toOpaque()
      let status = try withExtendedLifetime(listener) {
        try call { junto_session_generate(raw, onChunk, user, $0) }
      }
      if let error = listener.error { throw error }
      return Outcome(status)
    }
  }

  /// From any thread: the step that runs, or the next, answers `.cancelled`.
  public func cancel() { junto_session_cancel(raw) }

  /// Another session that goes on from here.
  public func fork() throws -> Session {
    var out: OpaquePointer?
    try call { junto_session_fork(raw, &out, $0) }
    return Session(out!, services)
  }

  /// All of the session as bytes.
  public func snapshot() throws -> [UInt8] {
    try fetch { junto_session_snapshot(raw, $0, $1, $2, $3) }
  }

  public func restore(_ snapshot: [UInt8]) throws {
    try call { junto_session_restore(raw, snapshot, snapshot.count, $0) }
  }

  public func usage() throws -> junto_usage {
    var usage = junto_usage()
    junto_usage_init(&usage, MemoryLayout<junto_usage>.size)
    try check(junto_session_get_usage(raw, &usage))
    return usage
  }
}

private final class Listener {
  let hear: (Chunk) throws -> Void
  var error: Error?

  init(_ hear: @escaping (Chunk) throws -> Void) { self.hear = hear }
}

private func onChunk(_ user: UnsafeMutableRawPointer?, _ chunk: UnsafePointer<junto_chunk>?)
  -> junto_status
{
  let listener = Unmanaged<Listener>.fromOpaque(user!).takeUnretainedValue()
  let raw = chunk!.pointee
  let bytes = UnsafeRawBufferPointer(start: raw.text, count: raw.text_size)
  do {
    let text = String(decoding: bytes, as: UTF8.self)
    try listener.hear(Chunk(text: text, channel: raw.channel, call: raw.call))
    return JUNTO_OK
  } catch {
    listener.error = error
    return JUNTO_DONE
  }
}
