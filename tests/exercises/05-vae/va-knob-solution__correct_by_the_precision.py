def implied_sigma(weight, D):
    precision = 2 / (D * weight)  # of the decoder, once the loss is divided by the weight
    return precision**-0.5
