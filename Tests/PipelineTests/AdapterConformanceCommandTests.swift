import Foundation
import TestSupport
import Testing

@testable import Bindings
@testable import Commands
@testable import Engine

/// `perigee test-adapter`: passes what is right, and finds what is wrong.
@Suite(.engine) struct AdapterConformanceCommandTests {
  @Test(arguments: ["delora", "lora_fa", "vera", "delta_lora"])
  func libraryPasses(_ name: String) throws {
    #expect(try Runner.testAdapters(packageRoot + "/lua/adapters/\(name).lua"))
  }

  static let build = """
    build = function(layer, c)
      return { A = layer:kaiming_uniform('A', { c.r, layer.in_features }), B = tensor.zeros { layer.out_features, c.r } }
    end,
    """

  /// Methods with a mistake, and the checks that must find it.
  static let mistakes: [(definition: String, failing: Set<String>)] = [
    ("\(build) delta = function(x, w, c) return x:linear(w.A):linear(w.B) end", []),
    ("\(build) delta = function(x, w, c) return x:linear(w.A):tanh():linear(w.B) end", []),
    // Kinks are no mistake, and hide none.
    ("\(build) delta = function(x, w, c) return x:linear(w.A):relu():linear(w.B) end", []),
    ("\(build) delta = function(x, w, c) return (x:linear(w.A):abs() - 0.5):relu():linear(w.B) end", []),
    (
      "\(build) delta = function(x, w, c) local y = x:linear(w.A):relu():linear(w.B) return y * 1.1 - (y * 0.1):detach() end", ["gradients"]
    ),
    (
      "\(build) delta = function(x, w, c) local h = x:linear(w.A) return (h * (h:detach():sign() + 1) / 2 + (h - h:detach()) * 0.3):linear(w.B) end",
      ["gradients"]
    ),
    // The gradient of half of A's rows is missing: along itself it is right.
    (
      "\(build) delta = function(x, w, c) return x:linear(tensor.cat { w.A:slice(0, 0, 2), w.A:slice(0, 2):detach() }):linear(w.B) end",
      ["gradients"]
    ),
    ("\(build) delta = function(x, w, c) return x:linear(w.A):linear(w.B + 1) end", ["fresh equals base"]),
    ("\(build) delta = function(x, w, c) return x:linear(w.A):linear(w.B + 1) end, fresh_equals_base = false", []),
    ("\(build) delta = function(x, w, c) return x:linear(w.A:detach()):linear(w.B) end", ["gradients", "trains only its own"]),
    (
      "\(build) delta = function(x, w, c) return x:linear(w.A):linear(w.B) * 2 - x:linear(w.A):linear(w.B:detach()) end", ["gradients"]
    ),
    (
      "\(build) delta = function(x, w, c) return x:linear(w.A):linear(w.B) end, merge = function(W, w, c) return W + w.B:matmul(w.A) * 1.1 end",
      ["merged equals unmerged", "beside another adapter", "other layer shapes"]
    ),
    (
      "\(build) delta = function(x, w, c) return x:linear(w.A):linear(w.B) end, after_step = function(w, c, step, layer) layer.weight:add_(1) end",
      []
    ),
    (
      """
      build = function(layer, c) return { A = layer:kaiming_uniform('A', { c.r, layer.in_features }):freeze(),
        B = tensor.zeros { layer.in_features, c.r } } end,
      delta = function(x, w, c) return x:linear(w.A):linear(w.B) end
      """, ["other layer shapes"]
    ),
    // State beside the parameters that a resumed run does not have.
    (
      "\(build) delta = function(x, w, c) return x:linear(w.A):linear(w.B) end, after_step = function(w) n = n + 1 w.B:mul_(1 + n / 10) end",
      ["resumed equals unbroken"]
    ),
  ]

  /// Tests that use it run one after another.
  nonisolated(unsafe) private static let families = try? ConformanceFamily.builtIn(seed: 1)

  @Test(arguments: mistakes.indices)
  func mistakesAreFound(_ index: Int) throws {
    let (definition, failing) = Self.mistakes[index]
    // A decoder takes as long again: one method that is right, and two that are wrong.
    let families = try #require(Self.families).prefix([0, 4, 11].contains(index) ? 2 : 1)
    try ScriptHost.with(mode: .check) { host, _ in
      try host.state.run(text: "local n = 0\nadapters.define('mine', { config = { r = 4 }, \(definition) })", name: "t.lua")
      let outcomes = try Runner.conformance(of: host.definitions, on: Array(families))
      let failed = outcomes.filter { if case .failed = $0.results[0].outcome { true } else { false } }
      #expect(Set(failed.map(\.check)) == failing, "\(failed)")
      #expect(outcomes[0].results.map(\.method) == Array(["mine on roberta", "mine on llama"].prefix(families.count)))
      guard families.count > 1 else { return }
      let onDecoder = outcomes.filter { if case .failed = $0.results[1].outcome { true } else { false } }
      #expect(Set(onDecoder.map(\.check)) == failing, "\(onDecoder)")
    }
  }

  @Test(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
  func commandLine() throws {
    try withTemporaryFolder { folder in
      try "adapters.define('mine', { config = { r = 4 }, \(Self.build) delta = function(x, w, c) return x:linear(w.A):linear(w.B + 1) end })"
        .write(toFile: folder + "/bad.lua", atomically: true, encoding: .utf8)
      try "print(1)".write(toFile: folder + "/none.lua", atomically: true, encoding: .utf8)
      let bad = try perigee(["test-adapter", "bad.lua", "--set", "r=2"], in: folder)
      #expect(bad.code == 1 && bad.error == "")
      #expect(bad.output.contains("fresh equals base        FAILED"))
      #expect(bad.output.contains("mine on roberta: fresh equals base: FAILED: a new adapter: the logits differ by "))
      let none = try perigee(["test-adapter", "none.lua"], in: folder)
      #expect(none.code == 1 && none.error == "perigee: error: none.lua: defines no adapter; call adapters.define\n")
      let unknown = try perigee(["test-adapter", "bad.lua", "--set", "q=2"], in: folder)
      #expect(unknown.code == 1 && unknown.error == "perigee: error: --set q=2: no option 'q'; did you mean 'r'?\n")
    }
  }
}
