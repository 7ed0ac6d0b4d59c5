import Files
import Metrics
import Pipelines

/// The stages of a run as boxes, and arrows from each to those that went on with its model. The trainings of a sweep are one box.
struct Lineage {
  private struct Node {
    let title: String
    let parent: Int?
    var stages: [RunStage] = []
    /// Words for a stage that has not ended.
    var unfinished: String?
    var children: [Int] = []
    var row = 0.0
    var depth = 0
  }

  private var nodes: [Node] = []

  init(_ run: ReportedRun) {
    var places: [String: Int] = [:]
    var nodeOf: [String: Int] = [:]
    for stage in run.folder.stages {
      let ancestors = (stage.facts["lineage"]?.arrayValue ?? []).compactMap(\.stringValue)
      let parent = ancestors.last { nodeOf[$0] != nil && $0 != stage.name }.flatMap { nodeOf[$0] }
      let name = StageName(stage.name)
      let title = name.base.isEmpty ? stage.name : name.base
      let id = "\(parent ?? -1) \(name.point.isEmpty && name.seed == nil ? stage.name : title)"
      let place = places[id] ?? add(Node(title: title, parent: parent))
      places[id] = place
      nodeOf[stage.name] = place
      nodes[place].stages.append(stage)
    }
    for stage in run.unfinished {
      let place = add(Node(title: stage.name, parent: nil))
      nodes[place].unfinished = stage.total.map { "not finished: \(stage.step) of \($0)" } ?? "not finished: step \(stage.step)"
    }
    var row = 0.0
    for place in nodes.indices where nodes[place].parent == nil { arrange(place, depth: 0, &row) }
  }

  private mutating func add(_ node: Node) -> Int {
    nodes.append(node)
    if let parent = node.parent { nodes[parent].children.append(nodes.count - 1) }
    return nodes.count - 1
  }

  /// A box stands beside the middle of those that follow it. Parents come before their children, so that nothing runs in circles.
  private mutating func arrange(_ place: Int, depth: Int, _ row: inout Double) {
    nodes[place].depth = depth
    let children = nodes[place].children
    for child in children { arrange(child, depth: depth + 1, &row) }
    if let first = children.first, let last = children.last {
      nodes[place].row = (nodes[first].row + nodes[last].row) / 2
    } else {
      nodes[place].row = row
      row += 1
    }
  }

  private static let (width, height, gap, line) = (196.0, 62.0, 44.0, 74.0)
  /// More boxes than this are a wall, and no picture.
  private static let mostNodes = 120

  /// The picture; empty where there is nothing to see.
  func drawn() -> Markup {
    guard !nodes.isEmpty, nodes.count <= Self.mostNodes else { return .empty }
    let boxes = nodes.map(box)
    let edges = nodes.compactMap { node -> Markup? in
      guard let parent = node.parent else { return nil }
      let (from, to) = (corner(nodes[parent]), corner(node))
      let (x0, y0, x1, y1) = (from.x + Self.width, from.y + Self.height / 2, to.x, to.y + Self.height / 2)
      let middle = (x0 + x1) / 2
      let points = [x0, y0, middle, y0, middle, y1, x1 - 1, y1].map(\.attributeText)
      let head =
        "M\((x1 - 6).attributeText) \((y1 - 4).attributeText)L\((x1 - 1).attributeText) \(y1.attributeText)L\((x1 - 6).attributeText) \((y1 + 4).attributeText)"
      return Markup("path", ["class": "edge", "d": "M\(points[0]) \(points[1])C\(points[2...].joined(separator: " "))\(head)"])
    }
    let depth = nodes.map(\.depth).max() ?? 0
    let rows = nodes.map(\.row).max() ?? 0
    let drawing = PlotArea.drawing(
      edges + boxes, width: Double(depth + 1) * (Self.width + Self.gap) - Self.gap + 4, height: rows * Self.line + Self.height + 4,
      title: "\(nodes.count) stages and what each goes on from")
    return Markup("figure", ["class": "wide alone"], [Markup("div", ["class": "scroll"], [drawing])])
  }

  private func corner(_ node: Node) -> (x: Double, y: Double) { (2 + Double(node.depth) * (Self.width + Self.gap), 2 + node.row * Self.line) }

  private func box(_ node: Node) -> Markup {
    let (x, y) = corner(node)
    let texts = [shortened(node.title, letters: 26)] + words(node).map { shortened($0, letters: 31) }
    let lines = texts.enumerated().map { i, text in
      Markup("text", ["class": i == 0 ? "strong" : i == 1 ? "plain" : "small", "x": x + 9, "y": y + 18 + Double(i) * 17], text: text)
    }
    let rect = Markup("rect", ["class": "box", "x": x, "y": y, "width": Self.width, "height": Self.height, "rx": 6])
    let title = Markup("title", text: node.stages.count > 1 ? node.stages.map(\.name).joined(separator: "\n") : node.title)
    return Markup("g", ["class": node.unfinished == nil ? "stage" : "open"], [title, rect] + lines)
  }

  private func words(_ node: Node) -> [String] {
    if let unfinished = node.unfinished { return [unfinished] }
    let count = node.stages.count
    let seconds = node.stages.compactMap { $0.facts["seconds"]?.doubleValue }.reduce(0, +)
    let trainable = node.stages.first?.facts["trainable"]?.intValue
    let metric = node.stages.first?.metrics.first { !$0.name.hasPrefix(EvaluationName.loss) }?.name ?? node.stages.first?.metrics.first?.name
    let values = metric.map { metric in node.stages.compactMap { stage in stage.metrics.first { $0.name == metric }?.value } } ?? []
    var result = ""
    if let metric, let low = values.min(), let high = values.max() {
      result = EvaluationName.bare(metric) + " " + numberText(low) + (count > 1 ? " to " + numberText(high) : "")
    }
    let size = count > 1 ? "\(count) trainings" : trainable.map { grouped(String($0)) + " trained" }
    return [result.isEmpty ? "no evaluation" : result, [size, durationText(seconds)].compactMap(\.self).joined(separator: " · ")]
  }
}
