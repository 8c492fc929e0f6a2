"""The parts of the hybrid transformer: sliced layers, operators, encoder and decoder, after fairseq's interfaces.

Every layer holds full tensors and computes with their leading rows and columns, as wide as its input and its config
say; where that is all of them, as in the network of one arch, it computes with the tensors themselves. Sequences are
(time, batch, channels).
"""
