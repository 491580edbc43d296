// A conversation with a model, on the terminal. Usage: Chat MODEL.gguf [TOKENS]
import Foundation
#if canImport(Junto)  // all in one module where it is compiled by hand
  import Junto
#endif

func chat(_ path: String, tokens: UInt32) throws {
  let model = try Runtime().load(path)
  let session = try model.session()
  let prompt = try model.prompt()
  try session.setSampling { $0.max_new_tokens = tokens }
  while true {
    print("> ", terminator: "")
    fflush(stdout)
    guard let line = readLine() else { return }
    try prompt.turn("user", line)
    try session.prefill(prompt)
    var answer = ""
    try session.generate { chunk in
      print(chunk.text, terminator: "")
      fflush(stdout)
      answer += chunk.text
    }
    try prompt.turn("assistant", answer)  // as the model must hear what it said
    print()
  }
}

let arguments = CommandLine.arguments
guard arguments.count > 1 else { fatalError("usage: Chat MODEL.gguf [TOKENS]") }
do {
  try chat(arguments[1], tokens: arguments.count > 2 ? UInt32(arguments[2])! : 0)
} catch {
  FileHandle.standardError.write("Chat: \(error)\n".data(using: .utf8)!)
  exit(1)
}
