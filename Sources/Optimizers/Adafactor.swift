import Diagnostics
import Foundation
import TensorCore

/// Second moments of matrices as means of rows and columns, as Transformers' `Adafactor`.
///
/// `b2 = 1 - t^decay_rate`; `R ← b2 R + (1 - b2) mean_rows(g² + eps[1])`, `C` likewise over columns;
/// `u = g / sqrt(R C / mean(R))`, for vectors `g / sqrt(V)`; `u ← u / max(1, rms(u) / clip_threshold)`;
/// `p ← p - lr wd p - lr u`, with a running mean of `lr u` in its place if there is a `beta1`.
/// `lr` is the step size, times `max(eps[2], rms(p))` with `scale_parameter`; with `relative_step` the step size is
/// `min(1e-2, 1 / sqrt(t))`, with `warmup_init` `min(1e-6 t, 1 / sqrt(t))`, and no other is used.
/// Tensors of more axes are lists of matrices.
///
/// The defaults are those of Transformers' Trainer, which takes the schedule's step size; the class itself starts with
/// `scale_parameter` and `relative_step`.
///
/// Paper: Shazeer and Stern 2018, arXiv 1804.04235.
public struct Adafactor: UpdateRule {
  public var eps = [1e-30, 1e-3]
  public var clipThreshold = 1.0
  public var decayRate = -0.8
  /// nil: no first moment.
  public var beta1: Double?
  public var factored = true
  public var scaleParameter = false
  public var relativeStep = false
  public var warmupInit = false

  public init() {}

  public static let name = "adafactor"
  public static let summary = "Adafactor as Transformers': second moments of matrices take one number for each row and column."
  public static let fields: [Field<Self>] = [
    .value("eps", \.eps, "added to squared gradients, and the least scale of scale_parameter"),
    .float("clip_threshold", \.clipThreshold, "the largest root mean square of an update, before the step size", in: Above(0)),
    .float("decay_rate", \.decayRate, "the second moment's decay in step t is 1 - t^decay_rate", in: (-1.0)...0),
    .float("beta1", \.beta1, "decay of a first moment; default: there is none", in: 0..<1),
    .value("factored", \.factored, "whether matrices keep means of rows and columns, or all second moments"),
    .value("scale_parameter", \.scaleParameter, "whether steps are in proportion to the parameter's root mean square"),
    .value("relative_step", \.relativeStep, "step size min(1e-2, 1/sqrt(t)) in place of learning_rate and schedule"),
    .value("warmup_init", \.warmupInit, "with relative_step: step size min(1e-6 t, 1/sqrt(t))"),
  ]

  public func validate() throws(EngineError) {
    guard eps.count == 2, eps.allSatisfy({ $0 >= 0 && $0.isFinite }) else {
      throw EngineError(.argument, "'eps' must be two finite numbers of at least 0")
    }
    guard relativeStep || !warmupInit else { throw EngineError(.argument, "'warmup_init' needs relative_step = true") }
    try checkFinite([("clip_threshold", clipThreshold)])
  }

  public var usesLearningRate: Bool { !relativeStep }

  public func stepSize(_ scheduled: Double, step: Int) -> Double {
    guard relativeStep else { return scheduled }
    let t = Double(max(1, step))
    return min(warmupInit ? 1e-6 * t : 1e-2, 1 / t.squareRoot())
  }

  public func state(of shape: [Int]) -> [(name: String, shape: [Int])] {
    var state: [(name: String, shape: [Int])] = []
    if factored, shape.count >= 2 {
      state = [("exp_avg_sq_row", Array(shape.dropLast())), ("exp_avg_sq_col", shape.dropLast(2) + shape.suffix(1))]
    } else {
      state = [("exp_avg_sq", shape)]
    }
    return beta1 == nil ? state : state + [("exp_avg", shape)]
  }

  public func update(_ u: ParameterUpdate) throws {
    guard u.parameter.count > 0 else { return }
    let isFactored = factored && u.parameter.rank >= 2
    let width = isFactored ? u.parameter.columns : u.parameter.count
    let rms = (u.parameter.sumOfSquares / Double(u.parameter.count)).squareRoot()
    let rate = stepSize(u.learningRate, step: u.step) * (scaleParameter ? max(eps[1], rms) : 1)
    let scales = isFactored ? factoredScales(u, decay: decay(u.step)) : fullScales(u, decay: decay(u.step))
    // Sums of rows, then their sum in order: the result does not depend on the number of threads.
    let squares = Elements64(count: u.parameter.count / width)
    let (p, g, state) = u.elements
    let scale = Float(u.gradientScale)
    Threads.parallelFor(squares.count, chunk: max(1, (1 << 14) / width)) { rows in
      for row in rows {
        var sum = 0.0
        for i in row * width..<(row + 1) * width {
          let x = Double(scales(i) * (g[i] * scale))
          sum += x * x
        }
        squares[row] = sum
      }
    }
    let updateRMS = (squares.sum / Double(u.parameter.count)).squareRoot()
    let factor = Float(rate / max(1, updateRMS / clipThreshold))
    let decayed = Float(rate * u.weightDecay)
    let mean = beta1.map { (decay: Float($0), rest: Float(1 - $0), values: state[state.count - 1]) }
    u.forRanges { range in
      for i in range {
        var step = scales(i) * (g[i] * scale) * factor
        if let mean {
          step = mean.decay * mean.values[i] + mean.rest * step
          mean.values[i] = step
        }
        p[i] = p[i] - decayed * p[i] - step
      }
    }
  }

  private func decay(_ step: Int) -> Double { 1 - pow(Double(step), decayRate) }

  /// Updates all second moments; gives what a gradient's element is multiplied by.
  private func fullScales(_ u: ParameterUpdate, decay: Double) -> @Sendable (Int) -> Float {
    let (_, g, state) = u.elements
    let squares = state[0]
    let (kept, rest, scale, least) = (Float(decay), Float(1 - decay), Float(u.gradientScale), Float(eps[0]))
    Threads.parallelFor(u.parameter.count, chunk: 1 << 14) { range in
      for i in range {
        let x = g[i] * scale
        squares[i] = kept * squares[i] + rest * (x * x + least)
      }
    }
    return { 1 / squares[$0].squareRoot() }
  }

  /// Updates means of rows and columns; gives what a gradient's element is multiplied by.
  private func factoredScales(_ u: ParameterUpdate, decay: Double) -> @Sendable (Int) -> Float {
    let (_, g, state) = u.elements
    let (rowMeans, columnMeans) = (state[0], state[1])
    let columns = u.parameter.columns
    let rows = u.parameter.shape[u.parameter.rank - 2]
    let matrices = u.parameter.count / (rows * columns)
    let (kept, rest, scale, least) = (Float(decay), Float(1 - decay), Float(u.gradientScale), Float(eps[0]))
    Threads.parallelFor(matrices * rows, chunk: max(1, (1 << 14) / columns)) { range in
      for row in range {
        var sum = 0.0
        for i in row * columns..<(row + 1) * columns {
          let x = g[i] * scale
          sum += Double(x * x + least)
        }
        rowMeans[row] = kept * rowMeans[row] + rest * Float(sum / Double(columns))
      }
    }
    let rowFactors = Elements64(count: matrices * rows)
    let columnFactors = Elements64(count: matrices * columns)
    Threads.parallelFor(matrices * columns, chunk: 64) { range in
      for column in range {
        var sum = 0.0
        for row in 0..<rows {
          let x = g[(column / columns * rows + row) * columns + column % columns] * scale
          sum += Double(x * x + least)
        }
        columnMeans[column] = kept * columnMeans[column] + rest * Float(sum / Double(rows))
        columnFactors[column] = 1 / Double(columnMeans[column]).squareRoot()
      }
    }
    for matrix in 0..<matrices {
      let range = matrix * rows..<(matrix + 1) * rows
      let mean = range.reduce(0.0) { $0 + Double(rowMeans[$1]) } / Double(rows)
      for row in range { rowFactors[row] = 1 / (Double(rowMeans[row]) / mean).squareRoot() }
    }
    return { i in
      let row = i / columns
      return Float(rowFactors[row] * columnFactors[row / rows * columns + i % columns])
    }
  }
}

// Unchecked: every element is written by one thread, and read when all have written.
/// Numbers that one update needs.
private final class Elements64: @unchecked Sendable {
  let count: Int
  private let values: UnsafeMutablePointer<Double>

  init(count: Int) {
    self.count = count
    values = .allocate(capacity: max(1, count))
    values.initialize(repeating: 0, count: max(1, count))
  }

  deinit { values.deallocate() }

  subscript(index: Int) -> Double {
    get { values[index] }
    set { values[index] = newValue }
  }

  var sum: Double { (0..<count).reduce(0) { $0 + values[$1] } }
}
