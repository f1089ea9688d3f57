"""
Your first explanation
======================

"""

import dftlrp

e = dftlrp.explain("waveform", dftlrp.embedded("clip"))
e
