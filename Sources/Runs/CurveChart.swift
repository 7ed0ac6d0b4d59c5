import Foundation
import Pipelines

/// Learning curves as lines of text.
enum CurveChart {
  /// Curves over the same axes, each drawn with a letter of its own; where several meet, the last one's.
  ///
  /// - Parameters:
  ///   - curves: points by step, finite; a curve may be empty.
  ///   - width: columns of the drawing without its axis; at least 2.
  ///   - height: lines of the drawing; at least 2.
  static func text(_ curves: [(letter: Character, points: [(step: Int, value: Double)])], width: Int = 60, height: Int = 10) -> String {
    let points = curves.flatMap(\.points)
    guard let low = points.map(\.value).min(), let high = points.map(\.value).max(), let first = points.map(\.step).min(),
      let last = points.map(\.step).max()
    else { return "" }
    var grid = [[Character]](repeating: [Character](repeating: " ", count: width), count: height)
    func place(_ value: Double, _ low: Double, _ high: Double, _ count: Int) -> Int {
      high > low ? min(count - 1, max(0, Int(((value - low) / (high - low) * Double(count - 1)).rounded()))) : 0
    }
    for (letter, points) in curves {
      let cells = points.map { (place(Double($0.step), Double(first), Double(last), width), place($0.value, low, high, height)) }
      for (column, row) in cells { grid[height - 1 - row][column] = letter }
    }
    let labels = [numberText(high), numberText(low)]
    let margin = labels.map(\.count).max() ?? 0
    let lines = grid.enumerated().map { row, cells in
      let label = row == 0 ? labels[0] : row == height - 1 ? labels[1] : ""
      var line = String(repeating: " ", count: margin - label.count) + label + " |" + String(cells)
      while line.last == " " { line.removeLast() }
      return line
    }
    let (left, right) = ("step \(first)", "\(last)")
    let axis = String(repeating: " ", count: margin + 2) + left + String(repeating: " ", count: max(1, width - left.count - right.count)) + right
    return (lines + [axis]).map { $0 + "\n" }.joined()
  }

  /// A curve in one line of blocks, or of digits where the terminal has no others.
  static func line(_ points: [(step: Int, value: Double)], width: Int = 32, unicode: Bool) -> String {
    let marks = Array(unicode ? "▁▂▃▄▅▆▇█" : "12345678")
    guard let low = points.map(\.value).min(), let high = points.map(\.value).max() else { return "" }
    let count = min(width, points.count)
    return String(
      (0..<count).map { column in
        // The mean of the points that share a column.
        let range = column * points.count / count..<(column + 1) * points.count / count
        let mean = points[range].map(\.value).reduce(0, +) / Double(range.count)
        return marks[high > low ? min(7, Int((mean - low) / (high - low) * 8)) : 0]
      })
  }
}
