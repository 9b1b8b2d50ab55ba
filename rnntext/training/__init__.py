"""What only training knows: the model, its training and its export to ONNX. Nothing else imports
torch.
"""
