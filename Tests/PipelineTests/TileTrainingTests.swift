import Foundation
import TestSupport
import Testing

/// Training on AMX tiles, emulated where the CPU has none.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct TileTrainingTests {
  @Test func emulatedTilesTrainTheSameWithAnyNumberOfThreads() throws {
    try withTemporaryFolder { folder in
      try TinyTask.write(to: folder)
      let script =
        TinyTask.script(folder, "seed = 3") + TinyTask.score("%.17g") + """
          local model = make()
          trainer.fit(options(model))
          print(score(model))
          """
      try script.write(toFile: folder + "/train.lua", atomically: true, encoding: .utf8)
      func scores(_ products: String, threads: Int) throws -> String {
        let outcome = try perigee(
          ["run", "train.lua", "--out", "\(products)-\(threads)", "--quiet", "--precision", "bf16", "--threads", "\(threads)"], in: folder,
          shell: "PERIGEE_PRODUCTS=\(products) \"$@\"")
        #expect(outcome.code == 0, "\(outcome.error)")
        return outcome.output
      }
      let one = try scores("amx-emulated", threads: 1)
      for threads in [2, 4] { #expect(try scores("amx-emulated", threads: threads) == one, "\(threads) threads") }
      let numbers = { (text: String) in text.split(whereSeparator: \.isWhitespace).compactMap { Double($0) } }
      expectClose("other units", numbers(one), numbers(try scores("openblas", threads: 1)), relative: 0.02, absolute: 0)
    }
  }
}
