import Files
import Metrics
import Pipelines

/// Trainings that differ in parameters or seeds and are judged on the same examples, so that their results can be compared.
struct Sweep {
  /// One training: where it lies in the sweep, and what came out.
  struct Trial {
    /// By factor; a training without one has "–".
    var levels: [String]
    var seed: String
    var metrics: [String: Double]
  }

  /// The trainings of one point, which differ in their seeds.
  struct Point {
    let levels: [String]
    let trials: [Trial]

    func values(_ metric: String) -> [Double] { trials.compactMap { $0.metrics[metric] } }
  }

  /// The best point beside another one.
  struct Comparison {
    let other: Point
    let test: PairedTest
    /// After Holm's correction for the number of comparisons.
    let corrected: Double?
  }

  let title: String
  /// The names of what differs, and the values of each in their order.
  let factors: [(name: String, levels: [String])]
  let points: [Point]
  /// The metrics that every training has, the one that decides first.
  let metrics: [String]
  let greaterIsBetter: Bool

  var metric: String { metrics[0] }

  static let none = "–"

  init?(title: String, names: [String], trials: [Trial], metrics: [String]) {
    let used = names.indices.filter { place in Set(trials.map { $0.levels[place] }).count > 1 }
    var points = Named<Trial>()
    for var trial in trials {
      trial.levels = used.map { trial.levels[$0] }
      points.append(trial, to: trial.levels.joined(separator: "\0"))
    }
    guard trials.count > 1, !metrics.isEmpty else { return nil }
    self.title = title
    self.metrics = metrics
    greaterIsBetter = MetricCatalogue.greaterIsBetter(EvaluationName.bare(metrics[0])) ?? !metrics[0].hasPrefix(EvaluationName.loss)
    factors = used.enumerated().map { place, name in
      (names[name], Self.ordered(points.all.map { $0.values[0].levels[place] }))
    }
    let order = factors.map { factor in Dictionary(uniqueKeysWithValues: factor.levels.enumerated().map { ($1, $0) }) }
    self.points = points.all.map { Point(levels: $0.values[0].levels, trials: $0.values) }.sorted { a, b in
      let places = zip(order, zip(a.levels, b.levels)).map { ($0[$1.0] ?? 0, $0[$1.1] ?? 0) }
      return places.first { $0 != $1 }.map { $0 < $1 } ?? false
    }
  }

  /// Different values in the order of their numbers, else in the order in which they came.
  private static func ordered(_ levels: [String]) -> [String] {
    var known: Set<String> = []
    let all = levels.filter { known.insert($0).inserted }
    let numbers = all.filter { $0 != none }.map { Double($0) }
    guard numbers.allSatisfy({ $0 != nil }) else { return all }
    return all.sorted { (Double($0) ?? -.infinity, $0) < (Double($1) ?? -.infinity, $1) }
  }

  /// The point with the best mean; nil where no point has one.
  var best: Point? {
    let known = points.filter { !$0.values(metric).isEmpty }
    let ranked = known.map { (point: $0, mean: Statistics.mean($0.values(metric))) }.filter { $0.mean.isFinite }
    return (greaterIsBetter ? ranked.max { $0.mean < $1.mean } : ranked.min { $0.mean < $1.mean })?.point
  }

  /// The best point against every other one that has two seeds of it at least.
  var comparisons: [Comparison] {
    guard let best else { return [] }
    let pairs = points.filter { $0.levels != best.levels }.compactMap { other -> (Point, PairedTest)? in
      let differences = best.trials.compactMap { mine -> Double? in
        guard let a = mine.metrics[metric], let b = other.trials.first(where: { $0.seed == mine.seed })?.metrics[metric] else { return nil }
        return a - b
      }
      return PairedTest(differences).map { (other, $0) }
    }
    let corrected = PairedTest.corrected(pairs.map(\.1.p))
    return zip(pairs, corrected).map { Comparison(other: $0.0, test: $0.1, corrected: $1) }
  }

  /// A point in words: "lora, r=8".
  func name(of point: Point, without skipped: Set<Int> = []) -> String {
    let words = zip(factors, point.levels).enumerated().filter { !skipped.contains($0.offset) && $0.element.1 != Self.none }.map { _, pair in
      pair.0.name == Self.stageFactor ? pair.1 : "\(pair.0.name)=\(pair.1)"
    }
    return words.joined(separator: ", ")
  }

  /// The factor that the names of stages are.
  static let stageFactor = "stage"
}

// MARK: - Finding them

extension Sweep {
  /// The sweeps in some runs: over the points and seeds that names of stages say, and over parameters in which the runs differ.
  static func all(in runs: [ReportedRun]) -> [Sweep] {
    let differing = differingParameters(of: runs)
    var found: [(trial: Trial, name: StageName, levels: [String: String], metric: String)] = []
    var kinds = Named<Int>()
    var keys: Set<String> = []
    for run in runs {
      for stage in run.folder.stages where !stage.metrics.isEmpty && !stage.isPaused && (stage.key.isEmpty || keys.insert(stage.key).inserted) {
        let name = StageName(stage.name)
        let inputs = run.folder.key(of: stage.name)?.inputs
        guard let metric = ReportedRun.mainMetric(of: stage, inputs: inputs) else { continue }
        let parameters = differing.filter { !seedNames.contains($0) }.map { ($0, run.folder.parameters[$0]?.shown ?? none) }
        let levels = Dictionary(parameters + name.point.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
        let metrics = Dictionary(stage.metrics.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
        // What judges the results, and which numbers there are, say what can be compared.
        let kind = (inputs?["task"]?["evaluation"]?.encoded(.canonical) ?? "") + stage.metrics.map(\.name).sorted().joined(separator: " ")
        kinds.append(found.count, to: kind)
        found.append((Trial(levels: [], seed: name.seed ?? seed(of: run, differing), metrics: metrics), name, levels, metric))
      }
    }
    return kinds.all.compactMap { _, places in
      let members = places.map { found[$0] }
      let bases = members.map(\.name.base)
      let isSwept = members.contains { $0.name.seed != nil || !$0.name.point.isEmpty } || runs.count > 1
      guard isSwept, Set(members.map(\.metric)).count == 1 else { return nil }
      var names: [String] = []
      for level in members.flatMap({ member in member.name.point.map(\.name) + differing }) where !names.contains(level) && !seedNames.contains(level)
      {
        names.append(level)
      }
      let common = commonWords(bases)
      let trials = members.map { member in
        var trial = member.trial
        let own = member.name.base.split(separator: " ").dropFirst(common).joined(separator: " ")
        trial.levels = [own.isEmpty ? none : own] + names.map { member.levels[$0] ?? none }
        return trial
      }
      let metrics = [members[0].metric] + members[0].trial.metrics.keys.filter { $0 != members[0].metric }.sorted()
      let title = bases[0].split(separator: " ").prefix(common).joined(separator: " ")
      let sweep = Sweep(title: title, names: [stageFactor] + names, trials: trials, metrics: metrics)
      return sweep.flatMap { $0.factors.isEmpty && $0.points.allSatisfy { $0.trials.count < 2 } ? nil : $0 }
    }
  }

  private static let seedNames: Set<String> = ["seed", "seeds"]

  /// The seed of a run whose stages do not say theirs.
  private static func seed(of run: ReportedRun, _ differing: [String]) -> String {
    seedNames.intersection(differing).sorted().first.flatMap { run.folder.parameters[$0]?.shown } ?? String(run.folder.invocation.seed)
  }

  /// Names of parameters that have two values at least.
  static func differingParameters(of runs: [ReportedRun]) -> [String] {
    var names: [String] = []
    for name in runs.flatMap(\.folder.parameters.keys) where !names.contains(name) { names.append(name) }
    return names.filter { name in Set(runs.map { $0.folder.parameters[name]?.encoded(.canonical) ?? "" }).count > 1 }
  }

  /// How many words at the beginning all names have; of names that are all one, all but none.
  private static func commonWords(_ names: [String]) -> Int {
    let words = names.map { $0.split(separator: " ") }
    guard let first = words.first else { return 0 }
    if words.allSatisfy({ $0 == first }) { return first.count }
    return first.indices.prefix { place in words.allSatisfy { place < $0.count && $0[place] == first[place] } }.count
  }
}
