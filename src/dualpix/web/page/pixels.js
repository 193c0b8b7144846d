// The bytes of a picture that holds numbers: four for each pixel, as they are in its file.

function bytesOf(source, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  pen.drawImage(source, 0, 0);
  return { width, height, bytes: pen.getImageData(0, 0, width, height).data };
}

// Of a picture that an <img> can show.
export async function pixelsAt(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  return bytesOf(picture, picture.naturalWidth, picture.naturalHeight);
}

// Of a picture's file.
export async function pixelsIn(blob) {
  const picture = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  return bytesOf(picture, picture.width, picture.height);
}
