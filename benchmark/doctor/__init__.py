"""Does a model answer a request the same way whatever stands around it, and does it look at the picture at all?"""
