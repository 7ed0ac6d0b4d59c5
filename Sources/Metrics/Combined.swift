/// The name under which the mean of a task's metrics is reported.
public let combinedName = "combined"

/// The arithmetic mean of a task's metric values; 0 for none.
///
/// It is meaningful where the metrics share a range and a direction, as accuracy with F1 and
/// Pearson with Spearman do.
public func combined(_ values: [Double]) -> Double {
  values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
}
