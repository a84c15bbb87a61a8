"""`network: transformer`: the interface of this family of networks (see `models/torch/networks.py`)."""

from models.torch.decoder import Decoder
from models.torch.encoder import Encoder
from models.torch.encoder_decoder import EncoderDecoder

__all__ = ["Decoder", "Encoder", "EncoderDecoder"]
