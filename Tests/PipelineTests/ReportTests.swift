import Files
import Testing

@testable import Pipelines

@Suite struct ReportTests {
  @Test func alignsColumnsByWhatTheyShow() {
    let table = Table(
      columns: ["stage", "trainable", .init("accuracy", decimals: 3), "ok"],
      rows: [
        ["mnli-lora", 294_912, 0.8126, true], ["漢字 é", -1536, .double(.nan), false],
        ["line\nend\u{1B}[31m", .null], ["x", 0, 1, .null, "dropped"],
      ])
    #expect(
      table.text() == """
        stage          trainable  accuracy  ok
        -------------  ---------  --------  ---
        mnli-lora        294,912     0.813  yes
        漢字 é            -1,536       nan  no
        line end [31m
        x                      0         1

        """)
    #expect(table.text(bold: true).hasPrefix("\u{1B}[1mstage"))
    #expect(table.json[1]?["trainable"] == -1536)
    #expect(table.json[2]?["ok"] == .null)
    #expect(Table(columns: []).text() == "")
    #expect(Table(columns: ["a"]).text() == "a\n-\n")
  }

  @Test(arguments: [
    (0.0, "0.0000"), (0.63251, "0.6325"), (12.345, "12.35"), (123.456, "123.5"),
    (1234.5, "1,234.5"), (1, "1.0000"), (0.00104123, "0.00104"), (0.00125, "0.00125"), (0.0123, "0.0123"), (0.001, "0.0010"),
    (0.0005, "5e-04"), (-1.25e-5, "-1.25e-05"), (1.2345e-7, "1.23e-07"), (1e20, "1e+20"), (.infinity, "inf"),
    (-.infinity, "-inf"), (.nan, "nan"), (-0.5, "-0.5000"),
  ])
  func showsNumbers(number: Double, text: String) {
    #expect(numberText(number) == text)
  }

  /// Points stand below each other, numbers that differ look different, and what people write as 5e-05 is shown so.
  @Test(arguments: [
    ([1e-5, 2e-5, 3e-5, 5e-5], ["1e-05", "2e-05", "3e-05", "5e-05"]),
    ([1e-4, 1e-3, 0.01], ["1e-04", "1e-03", "1e-02"]),
    ([0, 5e-5], ["0", "5e-05"]),
    ([0.795, 0.65331, 1], ["0.7950", "0.6533", "1.0000"]),
    ([0.5587123, 0.0010412], ["0.55871", "0.00104"]),
    ([0.5587123, 1.234567e-7], ["0.5587", "1.23e-07"]),
    ([0.1, 0.05], ["0.1000", "0.0500"]),
    ([5.25, 123.456], ["5.2500", "123.4560"]),
    ([1e-7, 3e-7], ["1e-07", "3e-07"]),
    ([.nan, 0.25], ["nan", "0.2500"]),
  ])
  func showsColumns(numbers: [Double], texts: [String]) {
    let table = Table(columns: ["x"], rows: numbers.map { [.double($0)] })
    let lines = table.text().split(separator: "\n").dropFirst(2).map { String($0.drop { $0 == " " }) }
    #expect(lines == texts)
  }

  @Test(arguments: [
    ("abc", 3), ("é", 1), ("e\u{301}", 1), ("漢字", 4), ("한", 2), ("😀", 2), ("❤️", 2), ("👩‍👩‍👧", 2),
    ("", 0),
    ("ｆ", 2), ("\u{200B}", 0), ("━", 1),
  ])
  func measuresText(text: String, width: Int) {
    #expect(displayWidth(text) == width)
  }

  @Test(arguments: [
    (0.4, "0 s"), (59.4, "59 s"), (185, "3:05"), (7385, "2:03:05"), (-1, "?"), (.nan, "?"),
    (.infinity, "?"),
  ])
  func saysDurations(seconds: Double, text: String) {
    #expect(durationText(seconds) == text)
  }
}

@Suite struct ProgressTests {
  private final class Screen {
    var time = 100.0
    var text = ""

    func progress(_ style: ProgressStyle) -> Progress {
      Progress(style: style, now: { self.time }, write: { self.text += $0 })
    }
  }

  @Test func writesLinesPerInterval() {
    let screen = Screen()
    let progress = screen.progress(.init(mode: .lines))
    progress.begin("mnli", total: 100)
    for step in 1...50 {
      screen.time += 0.5
      progress.update(step: step, loss: 1 / Double(step), learningRate: 5e-4, tokens: step * 1000)
    }
    progress.note("saved")
    progress.end("accuracy 0.81")
    progress.end("again")
    progress.update(step: 1)
    #expect(
      screen.text == """
        mnli: 100 steps
        mnli  20/100  loss 0.0500  lr 5e-04  2000 tokens/s  40 s left
        mnli  40/100  loss 0.0250  lr 5e-04  2000 tokens/s  30 s left
        saved
        mnli: accuracy 0.81 (25 s)

        """)
  }

  /// What is ahead is told where every stage of it was measured: in this run, by a sibling, or in an earlier one.
  @Test func tellsTheTimeOfTheWholePipeline() {
    func stage(_ name: String, _ steps: Int?, stored: Bool = false, _ seconds: Double? = nil) -> PipelinePlan.Stage {
      PipelinePlan.Stage(name: name, steps: steps, isStored: stored, secondsOfStep: seconds)
    }
    let screen = Screen()
    let progress = screen.progress(.init(mode: .lines))
    progress.plan = PipelinePlan([
      stage("a r=1 seed=1", 20), stage("a r=1 seed=2", 10), stage("old", 99, stored: true), stage("b", 30, 2), stage("texts", nil, stored: true),
    ])
    progress.begin("a r=1 seed=1", total: 20)
    screen.time += 10
    progress.update(step: 10)
    screen.time += 10
    progress.noteBest("accuracy 0.5", step: 10)
    progress.update(step: 20)
    progress.end()
    progress.begin("a r=1 seed=2", total: 10)
    screen.time += 10
    progress.update(step: 5)
    progress.end()
    progress.begin("b", total: 30)
    screen.time += 10
    progress.update(step: 5)
    progress.begin("another", total: 30)
    screen.time += 10
    progress.update(step: 5)
    let lines = screen.text.split(separator: "\n").filter { $0.contains("left") }
    #expect(
      lines == [
        "[1/5] a r=1 seed=1  10/20  10 s left", "[1/5] a r=1 seed=1  20/20  best accuracy 0.5 at 10  0 s left",
        "[2/5] a r=1 seed=2  5/10  10 s left, 1:10 in all", "[4/5] b  5/30  50 s left", "another  5/30  50 s left",
      ])
  }

  @Test func showsSmallLosses() {
    let screen = Screen()
    let progress = screen.progress(.init(mode: .lines))
    progress.begin("a", total: 100)
    screen.time += 10
    progress.update(step: 50, loss: 1.5e-7, learningRate: 1e-5)
    #expect(screen.text.contains("a  50/100  loss 1.5e-07  lr 1e-05"))
  }

  @Test func countsSpeedFromTheResumedStep() {
    let screen = Screen()
    let progress = screen.progress(.init(mode: .lines))
    progress.begin("mnli", total: 100, step: 40, tokens: 40_000)
    screen.time += 10
    progress.update(step: 50, loss: .nan, tokens: 50_000)
    #expect(
      screen.text == """
        mnli: 100 steps, resumed at 40
        mnli  50/100  loss nan  1000 tokens/s  50 s left

        """)
  }

  /// Texts of an evaluation move the line inside a stage, and have one of their own between stages.
  @Test func showsAPartOfAStep() {
    for mode in [ProgressStyle.Mode.bar, .lines] {
      let screen = Screen()
      let progress = screen.progress(.init(mode: mode, columns: 60, unicode: false))
      func write(_ count: Int) {
        for done in 0...count {
          progress.updatePart("texts", done: done, of: count, tokens: done * 40)
          screen.time += 4
        }
      }
      func shown() -> [String] {
        defer { screen.text = "" }
        return screen.text.split(whereSeparator: \.isNewline).map { String($0.replacing("\u{1B}[K", with: "").drop { "=. ".contains($0) }) }
          .filter { !$0.isEmpty }
      }
      write(1)
      #expect(shown() == (mode == .bar ? ["0/1 texts", "1/1 texts  10 tokens/s"] : []))
      progress.begin("xsum", total: 10)
      screen.time += 2
      progress.update(step: 1, tokens: 10)
      _ = shown()
      write(4)
      let lines = (1...4).map { "xsum  1/10  \($0)/4 texts  10 tokens/s" }
      #expect(shown() == (mode == .bar ? lines : [lines[2]]))
      progress.update(step: 2, tokens: 20)
      progress.end()
      #expect(shown().allSatisfy { !$0.contains("texts") })
    }
  }

  @Test func drawsABarThatFitsAndIsCleared() {
    let screen = Screen()
    let progress = screen.progress(.init(mode: .bar, columns: 40, unicode: false))
    progress.begin("a", total: 10)
    for step in 1...10 {
      screen.time += 0.05
      progress.update(step: step)
    }
    progress.note("note")
    progress.end()
    let frames = screen.text.split(separator: "\r").map { $0.replacing("\u{1B}[K", with: "") }
    #expect(frames.count < 12)
    #expect(frames.allSatisfy { displayWidth(String($0)) <= 39 })
    #expect(frames[0].hasPrefix("..........") && frames[0].hasSuffix("a  0/10"))
    #expect(frames[frames.count - 2].contains("10/10  "))
    #expect(screen.text.hasSuffix("\r\u{1B}[Ka: done (0 s)\n"))
    #expect(!screen.text.contains("\u{1B}[3"))
  }

  @Test func staysWithinANarrowTerminal() {
    let screen = Screen()
    let progress = screen.progress(.init(mode: .bar, color: true, columns: 20))
    progress.begin("漢字漢字漢字漢字漢字漢字漢字", total: 10)
    #expect(
      displayWidth(screen.text.replacing("\r", with: "").replacing("\u{1B}[K", with: "")) <= 19)
    let wide = Screen()
    wide.progress(.init(mode: .bar, color: true)).begin("a", total: 10)
    #expect(wide.text.contains("\u{1B}[32m"))
  }

  /// The time that is left is the last to go.
  @Test func leavesOutWhatHasNoRoom() {
    let screen = Screen()
    let progress = screen.progress(.init(mode: .bar, columns: 40))
    progress.begin("mnli", total: 100)
    screen.time += 10
    progress.update(step: 50, loss: 0.5, learningRate: 1e-3, tokens: 9000)
    #expect(screen.text.hasSuffix("\rmnli  50/100  loss 0.5000  10 s left\u{1B}[K"))
  }

  @Test func isQuietOnRequest() {
    let screen = Screen()
    let progress = screen.progress(.init(mode: .quiet))
    progress.begin("a", total: 2)
    screen.time += 60
    progress.update(step: 1, loss: 1)
    progress.note("n")
    progress.end()
    #expect(screen.text == "")
  }

  static let environments: [(Bool, Bool, [String: String], ProgressStyle)] = [
    (true, false, ["LANG": "C.UTF-8"], .init(mode: .bar, color: true, columns: 100)),
    (true, false, [:], .init(mode: .bar, color: true, columns: 100, unicode: false)),
    (
      true, false, ["LC_ALL": "C", "LANG": "en_US.utf8"],
      .init(mode: .bar, color: true, columns: 100, unicode: false)
    ),
    (
      true, false, ["NO_COLOR": "1", "COLUMNS": "60", "LANG": "C.UTF-8"],
      .init(mode: .bar, columns: 60)
    ),
    (
      true, false, ["TERM": "dumb", "COLUMNS": "x", "LANG": "C.UTF-8"],
      .init(mode: .lines, columns: 100)
    ),
    (
      true, false, ["CI": "true", "COLUMNS": "-5", "LANG": "C.UTF-8"],
      .init(mode: .lines, color: true, columns: 100)
    ),
    (
      true, false, ["CI": "false", "COLUMNS": "1", "LANG": "C.UTF-8"],
      .init(mode: .bar, color: true, columns: 20)
    ),
    (false, false, ["LANG": "C.UTF-8"], .init(mode: .lines, columns: 100)),
    (true, true, ["LANG": "C.UTF-8"], .init(mode: .quiet, color: true, columns: 100)),
  ]

  @Test(arguments: environments.indices) func obeysTheEnvironment(place: Int) {
    let (isTerminal, quiet, environment, style) = Self.environments[place]
    #expect(
      ProgressStyle.detect(
        isTerminal: isTerminal, terminalColumns: 100, quiet: quiet, environment: environment)
        == style)
  }
}
