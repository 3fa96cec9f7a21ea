def class_probabilities(bounds, prior):
    return (bounds + prior).softmax(1)
