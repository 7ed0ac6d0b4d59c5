import Diagnostics
import Testing

/// What a file or a script put into a message does not flood the screen.
@Suite struct ShortTextTests {
  private let long = String(repeating: "x", count: 100_000)

  @Test func shortTextStaysAsItIs() {
    for text in ["", "a", "don't 'quote' [1, 2, 3]", String(repeating: "a ", count: 99)] { #expect(shortened(text) == text) }
    let path = String(repeating: "folder/", count: 60)
    #expect(shortened("\(path): no such file") == "\(path): no such file")
  }

  @Test func longPartsAreCut() {
    let x = String(repeating: "x", count: 200)
    #expect(shortened("it's '\(long)', expected 'a'") == "it's '\(x) ...', expected 'a'")
    #expect(shortened("key \"\(long)\" of 2") == "key \"\(x) ...\" of 2")
    let shape = "[" + (0..<100_000).map(String.init).joined(separator: ", ") + "]"
    let text = shortened("shape \(shape) is too large: expected at most 8 axes")
    #expect(text.hasPrefix("shape [0, 1, 2, ") && text.hasSuffix(" ...] is too large: expected at most 8 axes") && text.count < 270)
    // A quote that never ends, and text without any.
    #expect(shortened("'\(long)").count < 210)
    #expect(shortened(long + " and the end").count == 600)
    #expect(shortened(long + " and the end").hasSuffix(" and the end"))
  }

  @Test func messagesAndHintsTogetherAreShort() {
    for error in [
      EngineError(.data, long), EngineError(.data, long, hint: long), EngineError(.data, "short", hint: long),
      EngineError(.data, "a '\(long)' b '\(long)' c '\(long)'").at(long).at(long),
    ] {
      #expect("\(error)".count <= 590, "\(error)")
    }
    #expect("\(EngineError(.data, "x").at("y"))" == "y: x")
  }
}
