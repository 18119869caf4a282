"""What a worker loads before it says that it is there.

Otherwise its first task would load it, for seconds in which the other workers make blocks that wait for that task.
"""

import oceankit.anomaly
import oceankit.assimilation
import oceankit.fields
import oceankit.regridding  # noqa: F401
