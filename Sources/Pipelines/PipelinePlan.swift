/// The stages that a run will come to, and how long those take that are still ahead.
public struct PipelinePlan: Sendable {
  /// One stage.
  public struct Stage: Sendable {
    public let name: String
    /// Updates; nil for work that is not counted in them.
    public let steps: Int?
    /// Whether its result is there, so that it takes no time.
    public let isStored: Bool
    /// Seconds of a step of the newest stored result of its name; nil where there is none.
    public let secondsOfStep: Double?

    public init(name: String, steps: Int?, isStored: Bool, secondsOfStep: Double?) {
      (self.name, self.steps, self.isStored, self.secondsOfStep) = (name, steps, isStored, secondsOfStep)
    }
  }

  private let stages: [Stage]
  /// Of stages that this run has trained, by what their names have in common: those of a sweep take about as long.
  private var measured: [String: Double] = [:]

  public init(_ stages: [Stage]) { self.stages = stages }

  /// Notes how long a stage took.
  mutating func ended(_ name: String, steps: Int, seconds: Double) {
    if steps > 0 { measured[StageName(name).base] = seconds / Double(steps) }
  }

  /// Where a stage is among all: "2/4"; nil for one that was not planned.
  func place(of name: String) -> String? {
    stages.firstIndex { $0.name == name }.map { "\($0 + 1)/\(stages.count)" }
  }

  /// Seconds of the stages after one; 0 after the last. nil where a stage is ahead of which nobody knows how long a step takes.
  func secondsAhead(of name: String) -> Double? {
    guard let place = stages.firstIndex(where: { $0.name == name }) else { return nil }
    var sum = 0.0
    for stage in stages[(place + 1)...] where !stage.isStored {
      guard let steps = stage.steps, let step = measured[StageName(stage.name).base] ?? stage.secondsOfStep else { return nil }
      sum += Double(steps) * step
    }
    return sum
  }
}
