"""What is in an artifacts directory, for people (report.html) and for programs (report.json).

`facts` reads the manifests, `history` keeps how long each conversion took, `page` makes the HTML
from its template, `pareto` lays out the plot, `publish` writes both files. Only what stands in the
directory counts, so the report covers every model there, whichever run converted it.

report.json, schema 1, UTF-8; a number that is not finite is null:

    schema_version    1
    models[]          the newest version of each model, by id
      id, version, digest, task, description, licence, labels[]      as in its manifest
      weights         origin ("pretrained", "seeded", "synthetic"), source, sha256
      calibration     "synthetic", or sha256 of the directory given
      parity          largest difference between the reference framework and the float graph
      precision       of what serves: "int8" or "float"
      reason          why that one
      fidelity        of what serves, against the reference: metric to value
      judged          false: fidelity is reported only, because the weights are untrained
      inputs          how many inputs `fidelity` is of
      inputs_source   "synthetic", or sha256 of the directory that they come from
      before, after   the float graph and what serves: name, precision, size_bytes, milliseconds
                      (one input, one thread); equal where float serves
      seconds         the conversion took; null: not known
      converted_at    ISO 8601, UTC; null: not known
      float_nodes[]   of the network, left in float by what serves
      float_reason    what the same falls short of, or how far off it is, with those in integers
                      too; "" where not known
      candidates[]    every one tried, as in the manifest: name, milliseconds, size_bytes and, of
                      quantized ones, fidelity, objections[], ...; `searched` is true of those that
                      the search only passed by, the others have times_faster and peak_bytes
    refused[]         models of the last run: id, reason, seconds
    unreadable[]      directories of models that cannot be read: id, reason
"""

from convert.commands.report.facts import Refused
from convert.commands.report.history import Made, remember
from convert.commands.report.publish import publish

__all__ = ["Made", "Refused", "publish", "remember"]
