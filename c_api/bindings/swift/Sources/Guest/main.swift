// An answer in memory that the program counts: nothing is taken behind its back.
// Usage: Guest MODEL.gguf QUESTION [TOKENS]
import CJunto
import Foundation
#if canImport(Junto)  // all in one module where it is compiled by hand
  import Junto
#endif

final class Counting: Allocator {
  private let lock = NSLock()
  private(set) var bytes = 0
  private(set) var calls = 0

  func allocate(size: Int, alignment: Int, tag: junto_tag) -> UnsafeMutableRawPointer? {
    lock.lock()
    defer { lock.unlock() }
    bytes += size
    calls += 1
    return UnsafeMutableRawPointer.allocate(byteCount: size, alignment: alignment)
  }

  func deallocate(_ memory: UnsafeMutableRawPointer, size: Int, alignment: Int, tag: junto_tag) {
    lock.lock()
    defer { lock.unlock() }
    bytes -= size
    memory.deallocate()
  }
}

func say(_ line: String) { FileHandle.standardError.write((line + "\n").data(using: .utf8)!) }

func answer(_ counting: Counting, _ arguments: [String]) throws {
  let runtime = try Runtime(allocator: counting, maxThreads: 1, strictMemory: true)
  let model = try runtime.load(arguments[1])
  let session = try model.session()
  let prompt = try model.prompt()
  try session.setSampling { $0.max_new_tokens = arguments.count > 3 ? UInt32(arguments[3])! : 0 }
  try prompt.turn("user", arguments[2])
  try session.prefill(prompt)
  let before = counting.calls
  var outcome = Outcome.yielded
  while outcome == .yielded {
    outcome = try session.step(nanoseconds: 10_000_000)
    print(try session.read(), terminator: "")
  }
  print()
  say("\(counting.calls - before) allocations while it answered")
}

let arguments = CommandLine.arguments
guard arguments.count > 2 else { fatalError("usage: Guest MODEL.gguf QUESTION [TOKENS]") }
let counting = Counting()
do {
  try answer(counting, arguments)
} catch {
  say("Guest: \(error)")
  exit(1)
}
say("\(counting.bytes) bytes left")
