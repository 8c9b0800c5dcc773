"""Report on an artifacts directory, for people (report.html) and for programs (report.json).

`facts` reads the manifests, `history` records how long each conversion took, `page` makes the HTML
from its template, `pareto` lays out the plot, `publish` writes both files. The report covers every
model of the directory, whichever run converted it.

report.json, schema 1, UTF-8; a number that is not finite is null:

    schema_version    1
    models[]          the newest version of each model, by id
      id, version, digest, task, description, licence, labels[]      as in its manifest
      weights         origin ("pretrained", "seeded", "synthetic"), source, sha256
      assumptions[]   what the weights do not tell: name, value, origin ("file", "option",
                      "default"), sentence
      calibration     "synthetic", or sha256 of the --calibration directory
      parity          largest difference between the reference framework and the float graph
      precision       of the served variant: "int8" or "float"
      reason          for that choice
      fidelity        of the served variant to the reference: value by metric
      judged          false: fidelity is reported only, because the weights are untrained
      inputs          number of inputs that `fidelity` was measured on
      inputs_source   "synthetic", sha256 of their directory, or "labelled"
      verdict         on INT8: "accepted", "refused", "undecided", "unjudged" or "untried"; "" for
                      artifacts of before
      advice          what would settle an undecided verdict; "" of others
      sureness        by which bounds INT8 was judged, and how sure the verdict is; "" for
                      artifacts of before
      division        how many media guided the search and how many judged; "" if not recorded
      nearest_bound   the bound with the least room, of the graph that was accepted or came
                      nearest to it: "metric", "value", and the bound as "at_least" or "at_most"
      yardstick       metrics of float against itself by the change of its media: photos and clips
                      one "grey_level" brighter and through "jpeg" (quality 95), sounds with
                      "noise" of one step of 16 bits and "resampled"; empty if not measured
      before, after   the float graph and the served variant: name, precision, size_bytes,
                      milliseconds (one input, one thread); equal if float is served
      float16         the outcome of --variants fp16; "" if nobody asked for it
      seconds         duration of the conversion; null: not known
      converted_at    ISO 8601, UTC; null: not known
      float_nodes[]   nodes of the network that the served variant computes in float
      float_reason    objections to the same setting without them, or its fidelity; "" if it was
                      not tried
      candidates[]    all that were tried, as in the manifest: name, milliseconds, size_bytes; if
                      quantized, fidelity, objections[], ...; `searched` is true if only the search
                      measured it, else there are times_faster and peak_bytes
    refused[]         models that the last run refused: id, reason, seconds
    unreadable[]      models whose newest version cannot be read: id, reason
"""

from convert.commands.report.facts import Refused
from convert.commands.report.history import Conversion, record_conversion
from convert.commands.report.publish import publish

__all__ = ["Conversion", "Refused", "publish", "record_conversion"]
