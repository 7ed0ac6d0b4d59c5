"""What TensorBoard's tab HPARAMS shows of the runs below a folder, and their texts, as JSON: check_hparams.py FOLDER"""

import json
import sys

from google.protobuf import json_format
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"scalars": 0})
multiplexer.AddRunsFromDirectory(sys.argv[1])
multiplexer.Reload()
provider = data_provider.MultiplexerDataProvider(multiplexer, sys.argv[1])
plugin = backend_context.Context(base_plugin.TBContext(data_provider=provider))
request = context.RequestContext()

statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]
question = api_pb2.ListSessionGroupsRequest(
    allowed_statuses=statuses, start_index=0, slice_size=1000, aggregation_type=api_pb2.AGGREGATION_AVG, include_metrics=True)
groups = list_session_groups.Handler(request, plugin, "", question).run()
shown = {}
for group in groups.session_groups:
    for session in group.sessions:
        shown[session.name] = {
            "hparams": {name: json_format.MessageToDict(value) for name, value in group.hparams.items()},
            "metrics": {value.name.tag: value.value for value in session.metric_values},
            "status": api_pb2.Status.Name(session.status),
        }
texts = {
    run: {tag: multiplexer.Tensors(run, tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"] if tag.endswith("/text_summary")}
    for run, tags in multiplexer.Runs().items()
}
counts = {run: [tag for tag in tags["tensors"] for _ in multiplexer.Tensors(run, tag)] for run, tags in multiplexer.Runs().items()}
print(json.dumps({"sessions": shown, "texts": texts, "tensors": counts}, sort_keys=True))
