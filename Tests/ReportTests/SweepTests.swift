import Files
import Pipelines
import TestSupport
import Testing

@testable import Reports

@Suite struct SweepTests {
  /// Probabilities of scipy.stats.t.sf, twice.
  @Test(arguments: [
    (2.0, 2.0, 0.18350341907227397), (1, 2, 0.42264973081037427), (12.706204736432095, 1, 0.0499999999989913), (-3.5, 9, 0.006723515763058959),
    (0, 4, 1),
  ])
  func knowsStudentsDistribution(t: Double, degrees: Double, p: Double) {
    #expect(abs(PairedTest.probability(t: t, degrees: degrees) - p) < 1e-12)
  }

  @Test func testsPairs() throws {
    // scipy.stats.ttest_rel([3, 5, 4], [1, 2, 4]).
    let test = try #require(PairedTest([2, 3, 0]))
    let (t, p) = try (#require(test.t), #require(test.p))
    #expect(abs(t - 1.8898223650461359) < 1e-12 && abs(p - 0.19935923097456434) < 1e-12 && test.count == 3)
    #expect(PairedTest([1]) == nil && PairedTest([1, .nan]) == nil)
    // Equal differences, but for their last bits, say nothing of the spread.
    for equal in [[0.1 + 0.2, 0.3], [1, 1], [0, 0]] {
      let test = try #require(PairedTest(equal))
      #expect(test.t == nil && test.p == nil)
    }
    // statsmodels' multipletests(method="holm").
    let corrected = PairedTest.corrected([0.01, nil, 0.04, 0.03])
    #expect(corrected[1] == nil && zip(corrected.compactMap(\.self), [0.03, 0.06, 0.06]).allSatisfy { abs($0 - $1) < 1e-15 })
  }

  @Test func takesNamesApart() {
    let name = StageName("rte over mnli, lora r=8 widths=16x16 seed=3")
    #expect(name.base == "rte over mnli, lora" && name.seed == "3" && name.point.map(\.value) == ["8", "16x16"])
    #expect(name.withoutSeed == "rte over mnli, lora r=8 widths=16x16")
    #expect(StageName("a = b").base == "a = b" && StageName("r=4").point.count == 1 && StageName("1=2").base == "1=2")
  }

  private func write(_ path: String, parameters: JSONObject = [:], seed: Int = 42, _ stages: [(String, Double)]) throws {
    let run = try RunDirectory.create(out: path)
    var invocation = Invocation()
    (invocation.version, invocation.seed) = ("1", seed)
    try run.prepare(RunScript(path: "t.lua", text: "--"), invocation)
    try run.declare(parameters)
    let facts = stages.map { name, accuracy -> JSONValue in
      [
        "stage": .string(name), "key": .string(path + name), "seconds": 1,
        "metrics": ["eval_accuracy": .double(accuracy), "eval_loss": .double(-accuracy)],
      ]
    }
    try run.writeResults(["tables": [], "stages": .array(facts)])
    try run.end(.finished)
  }

  private func sweeps(_ paths: [String]) throws -> [Sweep] {
    Sweep.all(in: try paths.map { try ReportedRun(RunFolder($0), name: $0) })
  }

  /// 3 methods, 3 ranks, 3 seeds: the map has the means of the results, and the tests pair equal seeds.
  @Test func findsTheSweepOfARun() throws {
    try withTemporaryFolder { folder in
      func accuracy(_ method: Int, _ rank: Int, _ seed: Int) -> Double { Double(method * 10 + rank + seed * (method == 2 ? 1 : 2)) / 100 }
      var stages: [(String, Double)] = []
      for (m, method) in ["lora", "lora_fa", "delora"].enumerated() {
        for rank in [16, 4, 8] { for seed in 1...3 { stages.append(("rte \(method) r=\(rank) seed=\(seed)", accuracy(m, rank, seed))) } }
      }
      try write(folder + "/run", stages)
      let sweep = try #require(try sweeps([folder + "/run"]).first)
      #expect(sweep.title == "rte" && sweep.factors.map(\.name) == ["stage", "r"] && sweep.factors[1].levels == ["4", "8", "16"])
      #expect(sweep.points.count == 9 && sweep.metric == "eval_accuracy" && sweep.greaterIsBetter)
      let maps = SweepSection(sweep: sweep).maps()
      #expect(maps.count == 1 && maps[0].map.rows == ["lora", "lora_fa", "delora"] && maps[0].map.columns == ["4", "8", "16"])
      for m in 0..<3 {
        for (column, rank) in [4, 8, 16].enumerated() {
          let mean = (accuracy(m, rank, 1) + accuracy(m, rank, 2) + accuracy(m, rank, 3)) / 3
          #expect(abs((maps[0].map.values[m][column] ?? .nan) - mean) < 1e-15)
        }
      }
      let best = try #require(sweep.best)
      #expect(best.levels == ["delora", "16"] && sweep.comparisons.count == 8)
      let other = try #require(sweep.comparisons.first { $0.other.levels == ["lora", "4"] })
      let test = try #require(PairedTest((1...3).map { accuracy(2, 16, $0) - accuracy(0, 4, $0) }))
      let (p, corrected) = try (#require(other.test.p), #require(other.corrected))
      #expect(other.test.t == test.t && p == test.p && other.test.count == 3 && corrected >= p)
      let page = try Report([folder + "/run"], version: "1").page()
      let cells = try elements(of: page).filter { $0.attributes["class"]?.hasPrefix("value") ?? false && $0.name == "text" }.map(\.text)
      #expect(cells == maps[0].map.values.flatMap { $0.map { numberText($0 ?? .nan) } })
    }
  }

  /// Runs that differ in parameters and seeds are points as well; what ran once and was found by all others counts once.
  @Test func findsTheSweepOfSeveralRuns() throws {
    try withTemporaryFolder { folder in
      var paths: [String] = []
      for rate in ["0.001", "0.01"] {
        for seed in 1...2 {
          paths.append(folder + "/\(rate)-\(seed)")
          try write(paths[paths.count - 1], parameters: ["rate": .double(Double(rate) ?? 0), "same": 1], seed: seed, [("rte", Double(seed) / 10)])
        }
      }
      let found = try sweeps(paths)
      #expect(found.count == 1 && found[0].factors.map(\.name) == ["rate"] && found[0].factors[0].levels == ["0.001", "0.01"])
      #expect(found[0].points.map(\.trials.count) == [2, 2] && found[0].points[0].trials.map(\.seed) == ["1", "2"])
      let text = try Report(paths, version: "1").page()
      #expect(text.contains("rate=0.001"))
      #expect(try elements(of: text).contains { $0.attributes["class"] == "charts" })
    }
  }

  /// A chain of two trainings is no sweep.
  @Test func leavesPlainRunsAlone() throws {
    try withTemporaryFolder { folder in
      try write(folder + "/run", [("mnli", 0.5), ("rte", 0.6)])
      #expect(try sweeps([folder + "/run"]).isEmpty)
    }
  }
}
