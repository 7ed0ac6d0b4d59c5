import Benchmarks
import CLimits
import Files
import TensorCore
import TestSupport
import Testing

@Suite(.engine) struct DoctorTests {
  @Test func itSaysWhatTheEngineUses() throws {
    let before = Precision.current
    defer { Precision.current = before }
    let doctor = try Doctor.examine()
    let json = try JSONValue(parsing: doctor.json, source: "doctor")
    #expect(json["processor"]?["threads"] == .int(Threads.count))
    #expect(json["memory"]?["allowed_bytes"] == .int(Int(clamping: cl_machine_memory())))
    #expect(json["products"]?["fp32_provider"] == .string(Precision.fp32.provider))
    #expect(json["products"]?["onednn"] == .bool(Precision.hasOneDNN))
    #expect(json["products"]?["openblas_core"] == .string(OpenBLAS.core.used))
    let copy = try #require(json["measured"]?["memory copy"]?["all_threads"]?.doubleValue)
    #expect(copy > 0)
    let missing = (json["missing"]?.arrayValue ?? []).compactMap(\.stringValue)
    #expect(missing.contains { $0.hasPrefix("no bfloat16 units") } == !Precision.hasBFloat16Units)
    #expect(missing.allSatisfy { doctor.text.contains("- " + $0) })
    #expect(doctor.text.contains("fp32 provider"))
  }
}
