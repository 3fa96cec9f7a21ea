def class_probabilities(bounds, prior):
    return bounds.softmax(1)
